/* An assertion of a fuzz target, also in builds without asserts. */
#ifndef TESTS_FUZZ_MUST_H
#define TESTS_FUZZ_MUST_H

#include <stdbool.h>
#include <stdlib.h>

static inline void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

#endif
