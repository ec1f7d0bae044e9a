import dns from 'node:dns'
import type { LookupFunction } from 'node:net'

type Done = (error: NodeJS.ErrnoException | null, addresses: readonly dns.LookupAddress[]) => void

interface Entry {
  addresses: readonly dns.LookupAddress[]
  freshUntilMs: number
  refreshing: boolean
  /** Where the next connection starts in `addresses`: spreads connections over them. */
  next: number
}

/**
 * Host names to addresses, kept and refreshed in the background: only the first connection to a name ever waits for
 * DNS, and an answer that has become stale serves until a new one is there, also while the resolver is down.
 */
export class AddressBook {
  readonly #entries = new Map<string, Entry>()
  /** Questions that the resolver has not answered yet, with all who wait for the answer. */
  readonly #asked = new Map<string, Done[]>()
  readonly #nowMs: () => number
  readonly #resolve: typeof dns.lookup

  constructor(nowMs: () => number, resolve: typeof dns.lookup = dns.lookup) {
    this.#nowMs = nowMs
    this.#resolve = resolve
  }

  /** A `lookup` for node:net that asks this book. */
  lookupFor(refreshMs: number): LookupFunction {
    return (hostname, options, callback) => {
      const entry = this.#entries.get(hostname)
      if (entry === undefined) {
        this.#ask(hostname, refreshMs, (error, addresses) =>
          answer(error, addresses, options.all === true, callback),
        )
        return
      }
      if (this.#nowMs() >= entry.freshUntilMs && !entry.refreshing) this.#refresh(hostname, entry, refreshMs)
      answer(null, rotated(entry), options.all === true, callback)
    }
  }

  #refresh(hostname: string, entry: Entry, refreshMs: number): void {
    entry.refreshing = true
    this.#ask(hostname, refreshMs, () => {
      entry.refreshing = false
      // A failure is asked again after a tenth of the time, not with every connection.
      entry.freshUntilMs = Math.max(entry.freshUntilMs, this.#nowMs() + refreshMs / 10)
    })
  }

  /** One question at a time for each name: the resolver's few threads are not filled up with the same one. */
  #ask(hostname: string, refreshMs: number, done: Done): void {
    const waiting = this.#asked.get(hostname)
    if (waiting !== undefined) {
      waiting.push(done)
      return
    }
    const all = [done]
    this.#asked.set(hostname, all)
    this.#resolve(hostname, { all: true }, (error, addresses) => {
      this.#asked.delete(hostname)
      if (error === null && addresses.length > 0) this.#keep(hostname, refreshMs, addresses)
      for (const one of all) one(error, addresses ?? [])
    })
  }

  #keep(hostname: string, refreshMs: number, addresses: readonly dns.LookupAddress[]): void {
    this.#entries.set(hostname, {
      addresses,
      freshUntilMs: this.#nowMs() + refreshMs,
      refreshing: false,
      next: this.#entries.get(hostname)?.next ?? 0,
    })
  }
}

function rotated(entry: Entry): readonly dns.LookupAddress[] {
  const { addresses } = entry
  if (addresses.length === 1) return addresses
  const start = entry.next++ % addresses.length
  return [...addresses.slice(start), ...addresses.slice(0, start)]
}

function answer(
  error: NodeJS.ErrnoException | null,
  addresses: readonly dns.LookupAddress[],
  all: boolean,
  callback: Parameters<LookupFunction>[2],
): void {
  const first = addresses[0]
  if (error !== null) callback(error, '')
  else if (first === undefined) callback(Object.assign(new Error('The name has no address'), NO_ADDRESS), '')
  else if (all) callback(null, [...addresses])
  else callback(null, first.address, first.family)
}

const NO_ADDRESS = { code: 'ENOTFOUND' }
