/* HTTP cells: the table of states and events (cells.def). */
#include "base/host/httpd/connection.h"

/* A cell that is there twice has its name twice; with one too few or too many the
 * assertion fails. */
enum {
#define HTTPD_CELL(state, event, does) CELL_##state##_##event,
#include "base/host/httpd/cells.def"
    CELLS
};
_Static_assert(CELLS == HTTPD_STATES * HTTPD_EVENTS, "each state has a cell for each event");

static const enum httpd_does cells[HTTPD_STATES][HTTPD_EVENTS] = {
#define HTTPD_CELL(state, event, does) [HTTPD_##state][HTTPD_AT_##event] = HTTPD_##does,
#include "base/host/httpd/cells.def"
};

enum httpd_does flo_httpd_does(enum httpd_state state, enum httpd_event event)
{
    return cells[state][event];
}
