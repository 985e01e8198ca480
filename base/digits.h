/* Decimal digits: writes a number as decimal text, at a tenth of printf's
 * cost. */
#ifndef FLOTILLA_BASE_DIGITS_H
#define FLOTILLA_BASE_DIGITS_H

#include <stdint.h>

#define FLO_DIGITS_MAX 20 /* most digits of a uint64_t */

/* Writes the decimal digits of a number without a NUL.  Returns the end of the
 * text. */
char *flo_digits(char *to, uint64_t number);

#endif
