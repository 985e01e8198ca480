/* Unit tests do not wait for the disk: they look at what was written, and
 * tests/crash looks at what a power cut leaves of it.  Weak, so that a test
 * which watches or fails the syncs has its own. */
#include <unistd.h>

__attribute__((weak)) int fsync(int fd)
{
    (void)fd;
    return 0;
}

__attribute__((weak)) int fdatasync(int fd)
{
    (void)fd;
    return 0;
}
