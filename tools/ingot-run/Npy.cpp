//===- Npy.cpp - reading and writing .npy ----------------------------------------------------===//
#include "Npy.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

namespace {

struct TypeName {
  const char *descr;
  ingot_element_type type;
};
// The first entry of a type is the one that is written.
constexpr TypeName typeNames[] = {
    {"<f4", INGOT_F32},  {"<f8", INGOT_F64}, {"<f2", INGOT_F16}, {"<V2", INGOT_BF16},
    {"|V2", INGOT_BF16}, {"|b1", INGOT_I1},  {"|i1", INGOT_I8},  {"|u1", INGOT_U8},
    {"<i2", INGOT_I16},  {"<i4", INGOT_I32}, {"<i8", INGOT_I64}, {"<i1", INGOT_I8},
    {"<u1", INGOT_U8},
};

/// The header is a Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }.
class HeaderParser {
public:
  HeaderParser(const std::string &path, std::string_view text) : path(path), text(text) {}

  void parse(NpyArray &array) {
    bool sawType = false, sawOrder = false, sawShape = false;
    expect('{');
    while (!accept('}')) {
      std::string key = string();
      expect(':');
      if (key == "descr" && !sawType) {
        sawType = true;
        type(array, string());
      } else if (key == "fortran_order" && !sawOrder) {
        sawOrder = true;
        if (boolean())
          fail("column-major order; save numpy.ascontiguousarray(x)");
      } else if (key == "shape" && !sawShape) {
        sawShape = true;
        shape(array);
      } else {
        fail("unexpected key '" + key.substr(0, 40) + "' in the header");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip();
    if (at != text.size() || !sawType || !sawOrder || !sawShape)
      fail("malformed header");
  }

  [[noreturn]] void fail(const std::string &why) const { throw Failure(path + ": " + why); }

private:
  void skip() {
    while (at < text.size() && (text[at] == ' ' || text[at] == '\n'))
      ++at;
  }
  bool accept(char c) {
    skip();
    if (at >= text.size() || text[at] != c)
      return false;
    ++at;
    return true;
  }
  void expect(char c) {
    if (!accept(c))
      fail(std::string("malformed header: expected '") + c + "'");
  }
  std::string string() {
    skip();
    char quote = at < text.size() ? text[at] : '\0';
    if (quote != '\'' && quote != '"')
      fail("malformed header: expected a string (structured types are not supported)");
    size_t end = text.find(quote, at + 1);
    if (end == std::string_view::npos)
      fail("malformed header: a string without an end");
    std::string out(text.substr(at + 1, end - at - 1));
    at = end + 1;
    return out;
  }
  bool boolean() {
    skip();
    for (std::string_view word : {"True", "False"})
      if (text.substr(at, word.size()) == word) {
        at += word.size();
        return word == "True";
      }
    fail("malformed header: expected True or False");
  }
  void type(NpyArray &array, const std::string &descr) {
    for (const TypeName &name : typeNames)
      if (descr == name.descr)
        array.type = name.type;
    if (array.type == INGOT_NONE)
      fail("elements of type '" + descr.substr(0, 40) +
           "' are not supported; expected f4 f8 f2 i1 i2 i4 i8 u1 or b1, little endian");
  }
  void shape(NpyArray &array) {
    expect('(');
    while (!accept(')')) {
      skip();
      uint64_t extent = 0;
      size_t digits = 0;
      for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, ++digits)
        if (__builtin_mul_overflow(extent, 10, &extent) ||
            __builtin_add_overflow(extent, static_cast<uint64_t>(text[at] - '0'), &extent) ||
            extent > INT64_MAX)
          fail("an extent that is out of range");
      if (!digits)
        fail("malformed header: expected an extent");
      array.shape.push_back(static_cast<int64_t>(extent));
      if (array.shape.size() > INGOT_MAX_RANK)
        fail("more than 8 dimensions");
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
  }

  const std::string &path;
  std::string_view text;
  size_t at = 0;
};

} // namespace

NpyArray readNpy(const std::string &path) {
  std::string file = readFile(path);
  auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(file[i])); };
  if (file.size() < 10 || file.compare(0, 6, "\x93NUMPY") != 0)
    throw Failure(path + ": not a .npy file");
  uint32_t major = byte(6);
  size_t lengthBytes = major == 1 ? 2 : 4;
  if (major < 1 || major > 3)
    throw Failure(path + ": version " + std::to_string(major) + " of the .npy format is not known");
  if (file.size() < 8 + lengthBytes)
    throw Failure(path + ": truncated");
  size_t headerLength = 0;
  for (size_t i = 0; i < lengthBytes; ++i)
    headerLength |= static_cast<size_t>(byte(8 + i)) << (8 * i);
  size_t begin = 8 + lengthBytes;
  if (headerLength > file.size() - begin)
    throw Failure(path + ": truncated");
  NpyArray array;
  HeaderParser parser(path, std::string_view(file).substr(begin, headerLength));
  parser.parse(array);
  uint64_t bytes = ingot_element_size(array.type);
  for (int64_t extent : array.shape)
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes))
      parser.fail("a shape that is out of range");
  if (file.size() - begin - headerLength != bytes)
    parser.fail("expected " + std::to_string(bytes) + " bytes of data, got " +
                std::to_string(file.size() - begin - headerLength));
  array.data = file.substr(begin + headerLength);
  if (array.type == INGOT_I1)
    for (char c : array.data)
      if (c != 0 && c != 1)
        parser.fail("a boolean that is neither 0 nor 1");
  return array;
}

void writeNpy(const std::string &path, const ingot_tensor &tensor) {
  std::string descr;
  for (const TypeName &name : typeNames)
    if (name.type == tensor.type && descr.empty())
      descr = name.descr;
  std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (";
  for (size_t d = 0; d < tensor.rank; ++d)
    header += std::to_string(tensor.shape[d]) + (d + 1 < tensor.rank ? ", " : "");
  header += tensor.rank == 1 ? ",), }" : "), }";
  // Data begin at a multiple of 64; the header ends with a line break.
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  std::string prefix("\x93NUMPY\x01\0", 8);
  prefix += static_cast<char>(header.size() & 0xff);
  prefix += static_cast<char>(header.size() >> 8);
  FILE *file = fopen(path.c_str(), "wbe");
  if (!file)
    throw Failure(path + ": cannot be written: " + strerror(errno));
  bool good = fwrite(prefix.data(), 1, prefix.size(), file) == prefix.size() &&
              fwrite(header.data(), 1, header.size(), file) == header.size() &&
              fwrite(tensor.data, 1, tensor.bytes, file) == tensor.bytes;
  int error = errno;
  if (fclose(file) != 0 && good) {
    good = false;
    error = errno;
  }
  if (!good) {
    struct stat status;
    if (stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode))
      unlink(path.c_str());
    throw Failure(path + ": cannot be written: " + strerror(error));
  }
}
