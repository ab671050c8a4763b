//===- RuntimeReadsTest.cpp - the runtime accepts what the compiler writes --------------------===//

#include "Artifact.h"
#include "TestFiles.h"

namespace ingot::test {
/// Writes artifacts of the test's language model and of its graph (ArtifactTest.cpp).
std::string writeTestArtifacts(const std::string &languageModel, const std::string &graph);
} // namespace ingot::test

using namespace ingot;
using namespace ingot::test;

namespace {

TEST(RuntimeReads, EveryNumberOfAnArtifact) {
  TemporaryFolder folder;
  ASSERT_EQ(writeTestArtifacts(folder / "lm.ingot", folder / "graph.ingot"), "");
  for (const char *name : {"lm.ingot", "graph.ingot"}) {
    Artifact artifact;
    ingot_error *error = artifact.open((folder / name).c_str());
    EXPECT_EQ(error, nullptr) << ingot_error_message(error);
    if (error) {
      ingot_error_destroy(error);
      continue;
    }
    for (uint32_t segment = 0; segment < artifact.root().segments()->size(); ++segment)
      for (uint32_t chunk = 0; chunk < artifact.root().segments()->Get(segment)->hashes()->size();
           ++chunk)
        EXPECT_TRUE(artifact.chunkIsIntact(segment, chunk)) << segment << ", " << chunk;
  }
}

} // namespace
