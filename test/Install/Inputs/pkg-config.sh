# pkg-config.sh PREFIX SOURCE.c PROGRAM: compiles the way that a user without CMake does.
set -e
export PKG_CONFIG_PATH="$(dirname "$(find "$1" -name ingot.pc)")"
clang-22 "$2" $(pkg-config --cflags --libs ingot) -o "$3"
