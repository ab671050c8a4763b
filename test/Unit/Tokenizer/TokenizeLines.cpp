//===- TokenizeLines.cpp - The line protocol as a program -------------------===//
//
// ingot-tokenize-lines PATH [--no-special] [--decode] [--max-tokens=N]
//
//===----------------------------------------------------------------------===//

#include "ingot/Tokenizer/Import.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

using namespace ingot::tokenizer;

int main(int argc, char **argv) {
  LineOptions options;
  const char *path = nullptr;
  for (int i = 1; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--no-special"))
      options.addSpecial = false;
    else if (!std::strcmp(argv[i], "--decode"))
      options.decode = true;
    else if (!std::strncmp(argv[i], "--max-tokens=", 13))
      options.maxTokens = std::strtoull(argv[i] + 13, nullptr, 10);
    else
      path = argv[i];
  }
  if (!path) {
    std::fprintf(stderr,
                 "usage: ingot-tokenize-lines PATH [--no-special] [--decode] [--max-tokens=N]\n");
    return 2;
  }
  std::ios::sync_with_stdio(false);
  if (MaybeError error = tokenizeLines(path, std::cin, std::cout, options)) {
    std::cerr << "error: " << error->message << "\n";
    return 1;
  }
  return 0;
}
