/* The probe of a candidate: see flo_serve_probe(). */
#ifndef FLOTILLA_SERVE_PROBE_H
#define FLOTILLA_SERVE_PROBE_H

#include "agent/serve/serve.h"

struct probe;
/* The probe's `done` is not called. */
void flo_probe_close(struct probe *probe);

#endif
