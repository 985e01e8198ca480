/* Slices: finds where a release is worse, and by how much.
 *
 * A slice is all members with one label=value.  This header includes all parts,
 * each of which has its own header.
 *
 *   level.h   shape.h   a device's level by release, and its daily curve
 *   plain.h             most devices above their own past: no level is needed
 *   labels.h            values as numbers, at most 1,000 of a label
 *   waves.h             devices whose swaps begin together
 *   scan.h              the slice at which a metric is worse
 *   count_scan.h        the slice at which errors or crashes are more frequent
 *   told.h              the effect as shown to people: outliers are not limited
 *   slow.h    crash.h   devices, anywhere, that became much slower or crashed
 *   leak.h              memory that grows
 *   spread.h            the order in which members get a release
 *   pooled.h            the proof of a phase by all waves
 *   detect.h            the effects that a phase can find
 *
 * Pure: no clock, no heap, no state but the arguments.  Differences are those
 * of logarithms, so 0.69 is twice as slow.  Sums run in the order of the
 * arrays, hence the same evidence gives the same bits.  A function returns
 * false when it refuses evidence that is not finite, or negative where it
 * cannot be. */
#ifndef FLOTILLA_SERVER_SLICES_H
#define FLOTILLA_SERVER_SLICES_H

#include "server-stub/core/gate/slices/count_scan.h"
#include "server-stub/core/gate/slices/crash.h"
#include "server-stub/core/gate/slices/detect.h"
#include "server-stub/core/gate/slices/labels.h"
#include "server-stub/core/gate/slices/leak.h"
#include "server-stub/core/gate/slices/level.h"
#include "server-stub/core/gate/slices/plain.h"
#include "server-stub/core/gate/slices/pooled.h"
#include "server-stub/core/gate/slices/probe.h"
#include "server-stub/core/gate/slices/scan.h"
#include "server-stub/core/gate/slices/shape.h"
#include "server-stub/core/gate/slices/slow.h"
#include "server-stub/core/gate/slices/spread.h"
#include "server-stub/core/gate/slices/told.h"
#include "server-stub/core/gate/slices/waves.h"

#endif
