/* Memory engine: keeps the tables in memory, for tests, fuzz targets and the
 * simulator.  Nothing outlives the process. */
#ifndef FLOTILLA_SERVER_MEMORY_H
#define FLOTILLA_SERVER_MEMORY_H

#include "server-stub/store/tables.h"

FLO_MUST_USE int flo_memory_open(struct flo_store_engine **out, struct flo_err *err);

#endif
