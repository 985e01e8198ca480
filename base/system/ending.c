/* Ending: the path by which a signal ends a command that writes. */
#include "base/scratch.h"

#include <signal.h>
#include <unistd.h>

#define ENDS_MAX 4

static void (*ends[ENDS_MAX])(int number);
static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
static pid_t owner;

static void on_signal(int number)
{
    for (size_t i = 0; getpid() == owner && i < ENDS_MAX; i++) { /* a fork cleans nothing */
        if (ends[i] != NULL) {
            ends[i](number);
        }
    }
    raise(number); /* SA_RESETHAND has restored the default action, which ends the process */
}

void flo_ending_hold(bool is_held)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        sigaddset(&set, numbers[i]);
    }
    sigprocmask(is_held ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

void flo_ending_add(void (*end)(int number))
{
    const struct sigaction ours = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    struct sigaction old;
    size_t at = 0;

    owner = getpid();
    while (at < ENDS_MAX - 1 && ends[at] != NULL && ends[at] != end) {
        at++;
    }
    ends[at] = end;
    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        /* a signal that the process ignores, as under nohup, stays ignored */
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
            sigaction(numbers[i], &ours, NULL);
        }
    }
}
