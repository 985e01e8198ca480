/* Codes of all errors: for the file that holds their table, and for programs
 * of others.  Made by `make docs` from `base/errors.def`. */
#ifndef FLOTILLA_ERRORS_ALL_H
#define FLOTILLA_ERRORS_ALL_H

#include <flotilla/errors/audit.h>
#include <flotilla/errors/batch.h>
#include <flotilla/errors/benchmark.h>
#include <flotilla/errors/blob.h>
#include <flotilla/errors/bundle.h>
#include <flotilla/errors/ca.h>
#include <flotilla/errors/certificate.h>
#include <flotilla/errors/cfg.h>
#include <flotilla/errors/cli.h>
#include <flotilla/errors/clock.h>
#include <flotilla/errors/cmd.h>
#include <flotilla/errors/core.h>
#include <flotilla/errors/db.h>
#include <flotilla/errors/device.h>
#include <flotilla/errors/draft.h>
#include <flotilla/errors/engine.h>
#include <flotilla/errors/enrol.h>
#include <flotilla/errors/fleet.h>
#include <flotilla/errors/gate.h>
#include <flotilla/errors/gguf.h>
#include <flotilla/errors/group.h>
#include <flotilla/errors/hook.h>
#include <flotilla/errors/infer.h>
#include <flotilla/errors/io.h>
#include <flotilla/errors/keys.h>
#include <flotilla/errors/lead.h>
#include <flotilla/errors/local.h>
#include <flotilla/errors/login.h>
#include <flotilla/errors/memory.h>
#include <flotilla/errors/meta.h>
#include <flotilla/errors/model.h>
#include <flotilla/errors/mqtt.h>
#include <flotilla/errors/neighbour.h>
#include <flotilla/errors/net.h>
#include <flotilla/errors/order.h>
#include <flotilla/errors/outbox.h>
#include <flotilla/errors/patch.h>
#include <flotilla/errors/probe.h>
#include <flotilla/errors/process.h>
#include <flotilla/errors/release.h>
#include <flotilla/errors/rest.h>
#include <flotilla/errors/rollout.h>
#include <flotilla/errors/runtime.h>
#include <flotilla/errors/sandbox.h>
#include <flotilla/errors/sig.h>
#include <flotilla/errors/soak.h>
#include <flotilla/errors/state.h>
#include <flotilla/errors/step.h>
#include <flotilla/errors/target.h>
#include <flotilla/errors/trust.h>
#include <flotilla/errors/worker.h>

#endif
