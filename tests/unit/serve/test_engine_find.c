/* The engine program of a back end: the one with the library only where it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/serve/serve.h"

static char folder[] = "/tmp/flo-find-XXXXXX";

static void put(const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    close(open(path, O_CREAT | O_WRONLY, 0755));
}

static void expect(const char *backend, const char *name)
{
    char path[512] = "", expected[128];
    struct flo_err err = {0};

    snprintf(expected, sizeof(expected), "%s/%s", folder, name);
    assert_int_equal(flo_serve_engine_find(backend, path, sizeof(path), &err), 0);
    assert_string_equal(path, expected);
}

static void the_program_with_the_library_is_taken_where_it_is(void **state)
{
    char path[512];
    struct flo_err err = {0};

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(setenv("FLOTILLA_BIN", folder, 1), 0);
    put("flotilla-engine");
    expect("auto", "flotilla-engine");
    expect(NULL, "flotilla-engine");
    expect("native", "flotilla-engine");
    assert_int_equal(flo_serve_engine_find("llama", path, sizeof(path), &err), FLO_E_ABSENT);
    assert_non_null(strstr(err.fix, "flotilla-engine-llama"));

    put("flotilla-engine-llama");
    expect("auto", "flotilla-engine-llama");
    expect("llama", "flotilla-engine-llama");
    expect("native", "flotilla-engine");
    assert_int_equal(flo_serve_engine_find("lama", path, sizeof(path), &err), FLO_E_CFG_RANGE);
    assert_string_equal(err.what, "backend: `lama` is none of auto, native, llama");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_program_with_the_library_is_taken_where_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
