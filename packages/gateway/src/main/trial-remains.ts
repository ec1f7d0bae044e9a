/** What code that ran in this process can leave behind in it, as far as it can be seen: one line for each piece. */
export function processTraces(): readonly string[] {
  return [
    ...process.getActiveResourcesInfo().map((resource) => `an open ${resource}`),
    ...process.eventNames().flatMap((name) => {
      return Array<string>(process.listenerCount(name)).fill(`a listener to the process's ${String(name)}`)
    }),
    ...Reflect.ownKeys(globalThis)
      .filter((key) => !isOfNode(key))
      .map((key) => `the global ${String(key)}`),
    ...Object.entries(process.env).map(([name, value]) => `the variable ${name}\0${value}`),
    `the working directory ${process.cwd()}`,
  ]
}

/** Node's own `fetch` keeps its connections under such globals from the first call on. */
function isOfNode(key: string | symbol): boolean {
  return typeof key === 'symbol' && key.description?.startsWith('undici.') === true
}

/** What is there now and was not before. Values of variables are left out: they can be secrets. */
export function remainsSince(before: readonly string[]): string[] {
  const known = new Map<string, number>()
  for (const trace of before) known.set(trace, (known.get(trace) ?? 0) + 1)
  const remains: string[] = []
  for (const trace of processTraces()) {
    const left = known.get(trace) ?? 0
    if (left > 0) known.set(trace, left - 1)
    else remains.push(trace.replace(/\0.*/s, ''))
  }
  return remains
}
