/* starve: a preloaded library with which some allocations of the agent fail.
 *
 * FLO_STARVE=FILE names 32 bytes that the test writes and reads while the agent
 * runs, four numbers of 8 bytes: one of so many allocations fails (0: none), a
 * seed, how many have failed, and how many processes began.  Which ones fail
 * depends on the seed, on which process of these it is, and on how many were asked
 * for before.  Other programs are left alone. */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct told {
    _Atomic uint64_t rate, seed, failed, began;
};

static struct told *told;
static _Atomic uint64_t asked;

static uint64_t start; /* each process meets others */

/* Where it went on without its memory: addr2line reads the addresses. */
static void on_fault(int number)
{
    void *frames[40];
    int count;

    told = NULL;
    signal(number, SIG_DFL);
    count = backtrace(frames, 40);
    backtrace_symbols_fd(frames, count, STDERR_FILENO);
    raise(number);
}

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t items, size_t bytes);
void *__libc_realloc(void *data, size_t bytes);
void *malloc(size_t bytes);
void *calloc(size_t items, size_t bytes);
void *realloc(void *data, size_t bytes);

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("FLO_STARVE");

    if (name == NULL || strcmp(program_invocation_short_name, "flotilla-agent") != 0) {
        return;
    }
    int fd = open(name, O_RDWR | O_CLOEXEC);
    void *at =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0) {
        close(fd);
    }
    told = at == MAP_FAILED ? NULL : at;
    start = told == NULL ? 0 : atomic_fetch_add(&told->began, 1);
    signal(SIGSEGV, on_fault);
}

/* splitmix64 */
static uint64_t mixed(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static bool fails(void)
{
    uint64_t rate = told == NULL ? 0 : atomic_load(&told->rate);

    if (rate == 0) {
        return false;
    }
    uint64_t number = atomic_fetch_add(&asked, 1);
    if (mixed(number ^ mixed(atomic_load(&told->seed) + start)) % rate != 0) {
        return false;
    }
    atomic_fetch_add(&told->failed, 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t bytes)
{
    return fails() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t items, size_t bytes)
{
    return fails() ? NULL : __libc_calloc(items, bytes);
}

void *realloc(void *data, size_t bytes)
{
    return fails() ? NULL : __libc_realloc(data, bytes);
}
