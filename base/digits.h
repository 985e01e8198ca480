/* A number as text, where printf would cost a tenth of the work. */
#ifndef FLOTILLA_BASE_DIGITS_H
#define FLOTILLA_BASE_DIGITS_H

#include <stdint.h>

#define FLO_DIGITS_MAX 20 /* digits of any number */

/* Decimal, without a NUL; where it ends. */
char *flo_digits(char *to, uint64_t number);

#endif
