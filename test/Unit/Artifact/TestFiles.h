//===- TestFiles.h - files for tests ----------------------------------------------------------===//
#ifndef INGOT_TEST_UNIT_ARTIFACT_TESTFILES_H
#define INGOT_TEST_UNIT_ARTIFACT_TESTFILES_H

#include "llvm/Support/Error.h"
#include "gtest/gtest.h"
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace ingot::test {

/// A folder of its own for one test, removed afterwards.
class TemporaryFolder {
public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ingot-test-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  std::string operator/(const std::string &name) const { return path + "/" + name; }
  const std::string &str() const { return path; }

  /// Names of what is in it, sorted.
  std::vector<std::string> list() const {
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator(path))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

private:
  std::string path;
};

inline void writeFile(const std::string &path, const std::string &content) {
  std::ofstream(path, std::ios::binary) << content;
}

inline std::string readFile(const std::string &path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream.good()) << path;
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

/// The text of an error; "" for success.
inline std::string text(llvm::Error error) {
  return error ? llvm::toString(std::move(error)) : std::string();
}
template <typename T> std::string text(llvm::Expected<T> value) {
  return value ? std::string() : llvm::toString(value.takeError());
}

} // namespace ingot::test

#endif // INGOT_TEST_UNIT_ARTIFACT_TESTFILES_H
