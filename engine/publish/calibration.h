/* Calibration: the built-in text on which importance is measured. */
#ifndef FLOTILLA_ENGINE_CALIBRATION_H
#define FLOTILLA_ENGINE_CALIBRATION_H

#include <flotilla/base.h>

/* The text, texts/calibration.txt. */
extern const uint8_t flo_text_calibration[];
extern const size_t flo_text_calibration_count;
/* Appends the text.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_calibration_text(struct flo_buf *out, struct flo_err *err);

#endif
