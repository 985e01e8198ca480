/* Mapped: when weights are read in advance, and that reading changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/memory/mapped.h"

static void a_process_that_never_waited_for_the_disk_reads_nothing_in_advance(void **state)
{
    struct flo_misses misses = {0};

    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_false(flo_misses_next(&misses, 0));
    }
}

static void reading_in_advance_goes_on_for_some_passes_behind_the_last_miss(void **state)
{
    struct flo_misses misses = {0};
    uint32_t passes = 0;

    (void)state;
    assert_true(flo_misses_next(&misses, 3));
    assert_true(flo_misses_next(&misses, 3));
    assert_true(flo_misses_next(&misses, 4)); /* it missed again: all passes once more */
    while (flo_misses_next(&misses, 4)) {
        passes++;
    }
    assert_int_equal(passes, FLO_MISSES_PASSES - 2);
    assert_false(flo_misses_next(&misses, 4));
    assert_true(flo_misses_next(&misses, 5));
}

static void expected_bytes_are_those_of_the_file(void **state)
{
    enum { BYTES = 1 << 20 };
    char path[] = "/tmp/flotilla-mapped-XXXXXX";
    uint8_t *bytes = malloc(BYTES);
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0 && bytes != NULL);
    for (size_t i = 0; i < BYTES; i++) {
        bytes[i] = (uint8_t)(i * 31 >> 3);
    }
    assert_int_equal(flo_fd_write_all(fd, bytes, BYTES, NULL), 0);
    assert_int_equal(fsync(fd), 0);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    uint8_t *mapped = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(mapped != MAP_FAILED);

    flo_mapped_expect(mapped + 5001, 123456); /* no page begins or ends there */
    flo_mapped_expect(mapped + BYTES - 1, 1);
    assert_memory_equal(mapped, bytes, BYTES);

    munmap(mapped, BYTES);
    flo_mapped_expect(mapped, BYTES); /* nothing is there: ignored */
    close(fd);
    unlink(path);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_that_never_waited_for_the_disk_reads_nothing_in_advance),
        cmocka_unit_test(reading_in_advance_goes_on_for_some_passes_behind_the_last_miss),
        cmocka_unit_test(expected_bytes_are_those_of_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
