//===- Beams.h - beam search -----------------------------------------------------------------===//
#ifndef INGOT_RUNTIME_BEAMS_H
#define INGOT_RUNTIME_BEAMS_H

#include "Session.h"

namespace ingot {

/// What ingot_generate does with several beams; sequences and options have been checked.
Error runBeams(ingot_model &model, ingot_generate_sequence *sequences, size_t count,
               const ingot_generate_options &options, const ingot_run_options &runOptions,
               const Control &control);

} // namespace ingot

#endif // INGOT_RUNTIME_BEAMS_H
