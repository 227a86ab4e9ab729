// A value that others watch: the one way in which the parts of a page learn of each other.

/**
 * @template T
 * @param {T} initial
 */
export function store(initial) {
  let value = initial;
  /** @type {Set<(value: T) => void>} */
  const watchers = new Set();
  return {
    get value() {
      return value;
    },
    /** @param {T} next */
    set(next) {
      value = next;
      for (const watcher of watchers) watcher(value);
    },
    /** @param {(value: T) => void} watcher */
    watch(watcher) {
      watchers.add(watcher);
    },
  };
}

/**
 * The function, called once its callers have been quiet for a while.
 *
 * @param {number} quiet_ms
 * @param {() => void} action
 */
export function debounced(quiet_ms, action) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, quiet_ms);
  };
}
