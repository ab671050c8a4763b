# Flags of every target, and functions that define targets the same way everywhere.

add_library(IngotFlags INTERFACE)
target_compile_options(IngotFlags INTERFACE -Wall -Wextra -Wno-unused-parameter
  $<$<CXX_COMPILER_ID:Clang>:-Wno-unused-lambda-capture>)
if(INGOT_WERROR)
  target_compile_options(IngotFlags INTERFACE -Werror)
endif()
if(INGOT_SANITIZE)
  add_compile_options(-fsanitize=${INGOT_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=all
    -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${INGOT_SANITIZE})
endif()
# No floating-point contraction anywhere: the reference and the runtime must round as written.
add_compile_options(-ffp-contract=off)

find_program(INGOT_LLD NAMES ld.lld-22 ld.lld)
if(INGOT_LLD AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_link_options(--ld-path=${INGOT_LLD})
endif()

# ingot_precompile(NAME headers...): headers that most files of a target read, read once.
function(ingot_precompile name)
  target_precompile_headers(${name} PRIVATE ${ARGN})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    # Without time stamps, so that a compiler cache can find it again.
    target_compile_options(${name} PRIVATE "SHELL:$<$<COMPILE_LANGUAGE:CXX>:-Xclang -fno-pch-timestamp>")
  endif()
endfunction()

# ingot_library(NAME sources... LINK libraries...): a static library outside the compiler.
function(ingot_library name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>)
  target_link_libraries(${name} PUBLIC ${ARG_LINK} PRIVATE $<BUILD_INTERFACE:IngotFlags>)
endfunction()

# ingot_unit_test(NAME sources... LINK libraries...): a GoogleTest program that ctest and lit run.
function(ingot_unit_test name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gtest GTest::gtest_main IngotFlags)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/unit)
  add_test(NAME ${name} COMMAND ${name})
  set_property(GLOBAL APPEND PROPERTY INGOT_TEST_TARGETS ${name})
endfunction()
