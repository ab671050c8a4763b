//===- toy-artifact.cpp - writes the toy language model for lit tests ------------------------===//
#include "Toy.h"

#include <cstdio>
#include <cstring>

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "--depends-on-rows") != 0)) {
    fprintf(stderr, "usage: toy-artifact FILE [--depends-on-rows]\n");
    return 2;
  }
  toy::LanguageModelOptions options;
  options.dependsOnRows = argc == 3;
  std::string bytes = toy::languageModel(options);
  FILE *file = fopen(argv[1], "wbe");
  bool written = file && fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  return file && fclose(file) == 0 && written ? 0 : 1;
}
