//===- SourceFiles.cpp - the files that weights are read from ---------------------------------===//

#include "ingot/Artifact/SourceFiles.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/Path.h"
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace ingot::artifact;
namespace path = llvm::sys::path;

SourceFiles::~SourceFiles() {
  for (const File &file : files)
    close(file.fd);
}

llvm::Error SourceFiles::fail(llvm::StringRef name, const llvm::Twine &what) const {
  llvm::SmallString<128> full(folder);
  path::append(full, name);
  return llvm::createStringError(full + ": " + what);
}

/// Whether a relative name stays in its folder, as far as its text says.
static bool staysInside(llvm::StringRef name) {
  return !name.empty() && !path::is_absolute(name) && name.find('\0') == llvm::StringRef::npos &&
         llvm::none_of(llvm::make_range(path::begin(name), path::end(name)),
                       [](llvm::StringRef component) { return component == ".."; });
}

llvm::Expected<unsigned> SourceFiles::open(llvm::StringRef name) {
  auto known = numbers.find(name);
  if (known != numbers.end())
    return known->second;
  if (!staysInside(name))
    return fail(name, "cannot be opened (not a file in the model's folder)");

  llvm::SmallString<128> full(folder);
  path::append(full, name);
  // Without O_NONBLOCK a pipe would be waited for.
  int fd = ::open(full.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return fail(name, llvm::Twine("cannot be opened (") + strerror(errno) + ")");
  struct stat status;
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd);
    return fail(name, "cannot be read (not a regular file)");
  }
  unsigned number = size();
  files.push_back(
      {name.str(), fd, uint64_t(status.st_size), uint64_t(status.st_dev), uint64_t(status.st_ino)});
  numbers[name] = number;
  return number;
}

llvm::Error SourceFiles::checkRange(unsigned file, uint64_t offset, uint64_t length,
                                    llvm::StringRef user) const {
  uint64_t size = files[file].length;
  if (offset <= size && length <= size - offset)
    return llvm::Error::success();
  return fail(files[file].name, "expected " + llvm::Twine(length) + " bytes at " +
                                    llvm::Twine(offset) + ", the file has " + llvm::Twine(size) +
                                    " (" + user + ")");
}

llvm::Error SourceFiles::read(unsigned file, uint64_t offset,
                              llvm::MutableArrayRef<char> out) const {
  while (!out.empty()) {
    ssize_t got = pread(files[file].fd, out.data(), out.size(), off_t(offset));
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return fail(files[file].name, llvm::Twine("cannot be read (") + strerror(errno) + ")");
    if (got == 0)
      return fail(files[file].name, "became shorter while it was read (" + llvm::Twine(out.size()) +
                                        " bytes are missing at " + llvm::Twine(offset) + ")");
    offset += uint64_t(got);
    out = out.drop_front(size_t(got));
  }
  return llvm::Error::success();
}

llvm::Expected<uint64_t> SourceFiles::hash(unsigned file) const {
  constexpr size_t kPiece = 1 << 20;
  std::unique_ptr<char[]> buffer(new char[kPiece]);
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (uint64_t offset = 0, length = files[file].length; offset < length;) {
    size_t piece = size_t(std::min<uint64_t>(kPiece, length - offset));
    if (llvm::Error error = read(file, offset, {buffer.get(), piece}))
      return std::move(error);
    XXH3_64bits_update(&state, buffer.get(), piece);
    offset += piece;
  }
  return XXH3_64bits_digest(&state);
}

bool SourceFiles::contains(llvm::StringRef path) const {
  struct stat status;
  if (stat(path.str().c_str(), &status) != 0)
    return false;
  return llvm::any_of(files, [&](const File &file) {
    return file.device == uint64_t(status.st_dev) && file.inode == uint64_t(status.st_ino);
  });
}
