# Finds LLVM and MLIR and defines functions for the compiler's targets. Debian builds them as two
# shared libraries, with RTTI, without exceptions: link those, never the static archives beside them.

find_package(MLIR ${INGOT_LLVM_VERSION} REQUIRED CONFIG HINTS /usr/lib/llvm-22/lib/cmake/mlir)
find_package(ZLIB REQUIRED)
find_package(zstd)
find_package(LLD ${INGOT_LLVM_VERSION} REQUIRED CONFIG HINTS ${LLVM_DIR}/../lld)
set(MLIR_LINK_MLIR_DYLIB ON)
list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
include(TableGen)
include(AddLLVM)
include(AddMLIR)
separate_arguments(INGOT_LLVM_DEFINITIONS NATIVE_COMMAND ${LLVM_DEFINITIONS})

add_library(IngotCompilerFlags INTERFACE)
target_include_directories(IngotCompilerFlags SYSTEM INTERFACE ${LLVM_INCLUDE_DIRS}
  ${MLIR_INCLUDE_DIRS} ${LLD_INCLUDE_DIRS})
target_include_directories(IngotCompilerFlags INTERFACE ${CMAKE_SOURCE_DIR}/include
  ${CMAKE_BINARY_DIR}/include)
target_compile_definitions(IngotCompilerFlags INTERFACE ${INGOT_LLVM_DEFINITIONS})
# As Debian builds LLVM: its headers lay statistics out differently with assertions.
target_compile_definitions(IngotCompilerFlags INTERFACE NDEBUG)
target_compile_options(IngotCompilerFlags INTERFACE -fno-exceptions)
target_link_libraries(IngotCompilerFlags INTERFACE IngotFlags MLIR LLVM)

# One precompiled header for the whole compiler: reading MLIR's headers is most of a build's time.
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/IngotPCH.cpp CONTENT "")
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # Without time stamps, so that a compiler cache can find it again.
  target_compile_options(IngotCompilerFlags INTERFACE "SHELL:-Xclang -fno-pch-timestamp")
endif()
add_library(IngotPCH OBJECT ${CMAKE_BINARY_DIR}/IngotPCH.cpp)
target_link_libraries(IngotPCH PRIVATE IngotCompilerFlags)
target_precompile_headers(IngotPCH PRIVATE
  <mlir/Dialect/Arith/IR/Arith.h> <mlir/Dialect/Func/IR/FuncOps.h> <mlir/Dialect/Linalg/IR/Linalg.h>
  <mlir/Dialect/Math/IR/Math.h> <mlir/Dialect/Tensor/IR/Tensor.h> <mlir/IR/Builders.h>
  <mlir/IR/BuiltinOps.h> <mlir/IR/PatternMatch.h> <mlir/Pass/Pass.h>)

# ingot_tablegen_target(NAME): ends the mlir_tablegen calls of a directory.
function(ingot_tablegen_target name)
  add_public_tablegen_target(${name})
  set_property(GLOBAL APPEND PROPERTY INGOT_TABLEGEN_TARGETS ${name})
endfunction()

# ingot_compiler_library(NAME sources... LINK libraries... DEPENDS targets...)
function(ingot_compiler_library name)
  cmake_parse_arguments(ARG "" "" "LINK;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC ${ARG_LINK} IngotCompilerFlags)
  target_precompile_headers(${name} REUSE_FROM IngotPCH)
  # Generated headers are used across libraries; the order of a few tblgen runs costs nothing.
  get_property(generated GLOBAL PROPERTY INGOT_TABLEGEN_TARGETS)
  add_dependencies(${name} ${generated} ${ARG_DEPENDS})
endfunction()

# ingot_compiler_test(NAME sources... LINK libraries...): a GoogleTest program of the compiler.
function(ingot_compiler_test name)
  ingot_unit_test(${name} ${ARGN} IngotCompilerFlags)
  # As the libraries, from which the precompiled header comes; CMake's own is -fPIE for a program.
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${name} PRIVATE -fPIC)
  target_precompile_headers(${name} REUSE_FROM IngotPCH)
endfunction()

# ingot_compiler_tool(NAME sources... LINK libraries...)
function(ingot_compiler_tool name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} IngotCompilerFlags)
  target_compile_definitions(${name} PRIVATE INGOT_VERSION="${PROJECT_VERSION}")
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()
