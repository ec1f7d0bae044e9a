import dns from 'node:dns'
import type { LookupFunction } from 'node:net'

type Done = (error: NodeJS.ErrnoException | null, addresses: readonly dns.LookupAddress[]) => void

const NO_ADDRESSES: readonly dns.LookupAddress[] = []

/** What is known of one host name. */
class KnownName {
  readonly hostname: string
  /** None until the resolver has answered. */
  addresses = NO_ADDRESSES
  freshUntilMs = 0
  /** Where the next connection starts in `addresses`: spreads connections over them. */
  next = 0
  /** All who wait for the resolver's answer; null: it is not asked. */
  waiting: Done[] | null = null
  /** How often it is open. */
  uses = 0

  constructor(hostname: string) {
    this.hostname = hostname
  }
}

/** A host name as long as somebody connects to it. */
export interface OpenName {
  /** For node:net. */
  readonly lookup: LookupFunction
  /** Once. What is known of the name goes with the last who has it open. */
  close(): void
}

/**
 * Host names to addresses, kept and refreshed in the background: only the first connection to a name ever waits for
 * DNS, and an answer that has become stale serves until a new one is there, also while the resolver is down. Names are
 * asked for when there are connections to make, and by none of those that nobody uses any more.
 */
export class AddressBook {
  readonly #names = new Map<string, KnownName>()
  readonly #nowMs: () => number
  readonly #resolve: typeof dns.lookup

  constructor(nowMs: () => number, resolve: typeof dns.lookup = dns.lookup) {
    this.#nowMs = nowMs
    this.#resolve = resolve
  }

  open(hostname: string, refreshMs: number): OpenName {
    const name = this.#names.get(hostname) ?? new KnownName(hostname)
    this.#names.set(hostname, name)
    name.uses++
    return {
      lookup: (_hostname, options, callback) => this.#lookUp(name, refreshMs, options.all === true, callback),
      close: () => {
        if (--name.uses === 0) this.#names.delete(hostname)
      },
    }
  }

  #lookUp(name: KnownName, refreshMs: number, all: boolean, callback: Parameters<LookupFunction>[2]): void {
    if (name.addresses.length === 0) {
      this.#ask(name, refreshMs, (error, addresses) => answer(error, addresses, all, callback))
      return
    }
    if (this.#nowMs() >= name.freshUntilMs && name.waiting === null) this.#ask(name, refreshMs, null)
    answer(null, rotated(name), all, callback)
  }

  /** One question at a time for each name: the resolver's few threads are not filled up with the same one. */
  #ask(name: KnownName, refreshMs: number, done: Done | null): void {
    const isAsked = name.waiting !== null
    const waiting = name.waiting ?? []
    name.waiting = waiting
    if (done !== null) waiting.push(done)
    if (isAsked) return
    this.#resolve(name.hostname, { all: true }, (error, addresses) => {
      name.waiting = null
      const found = error === null ? addresses : NO_ADDRESSES
      if (found.length > 0) name.addresses = found
      // A failure is asked again after a tenth of the time, not with every connection.
      name.freshUntilMs = this.#nowMs() + (found.length > 0 ? refreshMs : refreshMs / 10)
      for (const one of waiting) one(error, found)
    })
  }
}

function rotated(name: KnownName): readonly dns.LookupAddress[] {
  const { addresses } = name
  if (addresses.length === 1) return addresses
  const start = name.next++ % addresses.length
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
