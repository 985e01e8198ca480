// The page's clock and its timers.  A script that runs before the page may bring
// other ones in `flotillaTime`, as the tests do, which never wait.

const real = {
  now: () => Date.now(),
  after: (ms, run) => setTimeout(run, ms),
  each: (ms, run) => setInterval(run, ms),
  stop(timer) { // both kinds have their numbers from one list
    clearTimeout(timer);
  },
};

export const time = globalThis.flotillaTime ?? real;
