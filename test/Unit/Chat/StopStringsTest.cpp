//===- StopStringsTest.cpp - Texts that end an answer -----------------------===//

#include "ingot/Chat/StopStrings.h"

#include <gtest/gtest.h>

using ingot::chat::StopStrings;

TEST(StopStrings, PassesTextThatCannotBeAStop) {
  StopStrings stops({"###"});
  EXPECT_EQ(stops.push("hello "), "hello ");
  EXPECT_EQ(stops.push("world"), "world");
  EXPECT_EQ(stops.finish(), "");
}

TEST(StopStrings, HoldsBackABeginningAcrossPieces) {
  StopStrings stops({"User:"});
  EXPECT_EQ(stops.push("yes\nUs"), "yes\n");
  EXPECT_EQ(stops.push("er"), "");
  EXPECT_EQ(stops.push("s do"), "Users do");
  EXPECT_EQ(stops.push(" U"), " ");
  EXPECT_EQ(stops.finish(), "U");
}

TEST(StopStrings, StopsInTheMiddleOfAPiece) {
  StopStrings stops({"<end>", "\n\n"});
  EXPECT_EQ(stops.push("a<e"), "a");
  EXPECT_FALSE(stops.stopped());
  EXPECT_EQ(stops.push("nd>b\n\nc"), "");
  EXPECT_TRUE(stops.stopped());
  EXPECT_EQ(stops.push("more"), "");
  EXPECT_EQ(stops.finish(), "");
  EXPECT_FALSE(stops.stopped());
}

TEST(StopStrings, TheFirstInTheTextCounts) {
  StopStrings stops({"cd", "b"});
  EXPECT_EQ(stops.push("abcd"), "a");
  EXPECT_TRUE(stops.stopped());
}

TEST(StopStrings, OverlappingBeginnings) {
  StopStrings stops({"aab"});
  EXPECT_EQ(stops.push("aa"), "");
  EXPECT_EQ(stops.push("a"), "a");
  EXPECT_EQ(stops.push("b"), "");
  EXPECT_TRUE(stops.stopped());
}
