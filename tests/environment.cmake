# Read by ctest before it runs anything: what tests find in their environment.
# Programs that a test starts put nothing into the cache of who runs them.
set(ENV{FLOTILLA_PACK_CACHE} off)
