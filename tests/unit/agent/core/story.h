/* A story of the agent's core: what one device lives through in a test, how it
 * stands at the end, and the golden trace that it is compared with. */
#ifndef FLOTILLA_TESTS_STORY_H
#define FLOTILLA_TESTS_STORY_H

#include "world.h"

/* The device at hand: release 2 serves, 1 is its previous one. */
extern struct world world;

/* A test that begins with a new device. */
#define STORY(test) cmocka_unit_test_setup_teardown(test, story_begin, story_end)
int story_begin(void **state);
int story_end(void **state);

void boot(void);
/* The trace is that of tests/golden/traces/<name>.txt; the environment's
 * FLOTILLA_GOLDEN=write makes it. */
void assert_story(const char *name);
/* How the execution ended, exactly once. */
enum flo_execution end_of(const char *id);
/* Is the release on record and does it serve? */
bool is_current(int version);
bool is_denied(int version);

#endif
