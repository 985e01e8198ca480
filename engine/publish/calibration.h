/* Calibration: the built-in text on which importance is measured. */
#ifndef FLOTILLA_ENGINE_CALIBRATION_H
#define FLOTILLA_ENGINE_CALIBRATION_H

extern const char *const flo_calibration_lines[]; /* NULL after the last */

#endif
