/* Comparing a text with its golden file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/base.h>

#include "unit/server/golden.h"

void golden_check(const char *name, const char *text)
{
    char path[256];
    char *golden = NULL;
    size_t bytes;
    struct flo_err err = {0};
    const char *mode = getenv("FLOTILLA_GOLDEN");

    snprintf(path, sizeof(path), "tests/golden/traces/%s.txt", name);
    if (mode != NULL && strcmp(mode, "write") == 0) {
        assert_int_equal(flo_file_write(path, text, strlen(text), 0644, &err), 0);
        return;
    }
    if (flo_file_read(path, 1 << 20, &golden, &bytes, &err) < 0) {
        fail_msg("%s: %s", path, err.what);
    }
    if (strcmp(golden, text) != 0) {
        print_error("--- got (%s differs)\n%s\n", path, text);
    }
    assert_string_equal(text, golden);
    free(golden);
}
