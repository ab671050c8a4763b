//===- RotaryTest.cpp - inverse frequencies of rotary positions -------------------------------===//

#include "../../../lib/Import/RotaryFrequencies.h"
#include "gtest/gtest.h"

using namespace ingot::importer;

// Expected values were computed by version 5.23 of the library, and are written so that they round
// trip in f32.

TEST(Rotary, Default) {
  std::vector<float> expected = {1.0f,    3.1622776e-1f, 1.0e-1f, 3.162278e-2f,
                                 1.0e-2f, 3.1622779e-3f, 1.0e-3f, 3.162278e-4f};
  EXPECT_EQ(rotaryFrequencies(10000, 16, {}), expected);
}

TEST(Rotary, OddSize) {
  std::vector<float> expected = {1.0f, 2.1544343e-3f};
  EXPECT_EQ(rotaryFrequencies(10000, 3, {}), expected);
}

TEST(Rotary, Linear) {
  RotaryScaling scaling;
  scaling.kind = RotaryScaling::Linear;
  scaling.factor = 3;
  std::vector<float> expected = {3.3333334e-1f, 1.0540926e-1f, 3.3333335e-2f, 1.0540926e-2f,
                                 3.3333332e-3f, 1.0540927e-3f, 3.3333336e-4f, 1.05409265e-4f};
  EXPECT_EQ(rotaryFrequencies(10000, 16, scaling), expected);
}

TEST(Rotary, Llama3) {
  RotaryScaling scaling;
  scaling.kind = RotaryScaling::Llama3;
  scaling.factor = 32;
  scaling.lowFactor = 1;
  scaling.highFactor = 4;
  scaling.originalLength = 8192;
  std::vector<float> expected = {
      1.0f,          6.636013e-1f,   4.4036663e-1f, 2.9222783e-1f, 1.9392276e-1f, 1.2868738e-1f,
      8.53971e-2f,   5.666962e-2f,   3.760603e-2f,  2.4955409e-2f, 1.656044e-2f,  1.0989529e-2f,
      7.292665e-3f,  4.8394212e-3f,  3.211446e-3f,  1.290548e-3f,  4.295567e-4f,  9.708286e-5f,
      1.9461639e-5f, 1.29147675e-5f, 8.570256e-6f,  5.6872323e-6f, 3.7740544e-6f, 2.5044671e-6f,
      1.6619674e-6f, 1.1028836e-6f,  7.3187493e-7f, 4.856731e-7f,  3.222933e-7f,  2.1387423e-7f,
      1.419272e-7f,  9.4183065e-8f};
  EXPECT_EQ(rotaryFrequencies(500000, 64, scaling), expected);
}

TEST(Rotary, Yarn) {
  RotaryScaling scaling;
  scaling.kind = RotaryScaling::Yarn;
  scaling.factor = 4;
  scaling.originalLength = 4096;
  std::vector<float> expected = {1.0f,         5.6234133e-1f, 3.1622776e-1f, 1.7782794e-1f,
                                 1.0e-1f,      5.623413e-2f,  2.8234623e-2f, 1.3972196e-2f,
                                 6.785714e-3f, 3.213379e-3f,  1.4682005e-3f, 6.3509983e-4f,
                                 2.5e-4f,      1.4058533e-4f, 7.905695e-5f,  4.4456985e-5f};
  EXPECT_EQ(rotaryFrequencies(10000, 32, scaling), expected);
  scaling.truncate = false;
  expected = {1.0f,         5.6234133e-1f, 3.1622776e-1f, 1.7782794e-1f,
              1.0e-1f,      5.623413e-2f,  2.861361e-2f,  1.3875371e-2f,
              6.556971e-3f, 2.9867343e-3f, 1.2856319e-3f, 5.014396e-4f,
              2.5e-4f,      1.4058533e-4f, 7.905695e-5f,  4.4456985e-5f};
  EXPECT_EQ(rotaryFrequencies(10000, 32, scaling), expected);
}
