/* Golden texts: tests/golden/traces/<name>.txt.  With FLOTILLA_GOLDEN=write
 * in the environment the file is written instead of compared. */
#ifndef FLOTILLA_TEST_GOLDEN_H
#define FLOTILLA_TEST_GOLDEN_H

void golden_check(const char *name, const char *text);

#endif
