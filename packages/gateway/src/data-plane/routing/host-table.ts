import type { Steps } from '../../base/steps.ts'
import { canonicalIpv6Host, type HostPattern, portColon, suffixesOf } from './pattern.ts'

/**
 * Finds what is bound to a host. For one host there may be several answers, most specific first:
 *
 *   1. the exact name with the port, 2. the exact name,
 *   3. wildcards, the longest first, each with the port before without, 4. every host.
 *
 * All lists are made at compile time, one table per port that some pattern names, so a lookup is one or two Map reads.
 */
export class HostTable<Bound> {
  readonly #anyPort: PortTable<Bound>
  readonly #byPort: ReadonlyMap<string, PortTable<Bound>> | null
  readonly #bindsEveryHostOnly: boolean
  /** Most connections ask for one host again and again. */
  #lastHost = ''
  #lastFound: readonly Bound[]

  constructor(anyPort: PortTable<Bound>, byPort: ReadonlyMap<string, PortTable<Bound>>) {
    this.#anyPort = anyPort
    this.#byPort = byPort.size === 0 ? null : byPort
    this.#bindsEveryHostOnly = byPort.size === 0 && anyPort.bindsEveryHostOnly
    this.#lastFound = anyPort.find('')
  }

  /**
   * What is bound to `host`, most specific first: a host by `isHost`, with or without port, or '' where there is none.
   * Never allocates a list.
   */
  find(host: string): readonly Bound[] {
    if (host === this.#lastHost) return this.#lastFound
    this.#lastFound = this.#lookUp(host)
    this.#lastHost = host
    return this.#lastFound
  }

  #lookUp(host: string): readonly Bound[] {
    if (this.#bindsEveryHostOnly) return this.#anyPort.find('')
    const colon = portColon(host)
    const table = (colon !== -1 && this.#byPort?.get(canonicalPort(host, colon + 1))) || this.#anyPort
    return table.find(canonicalName(colon === -1 ? host : host.slice(0, colon)))
  }
}

/** Lower case, without the root's dot; IPv6 literals in one spelling. */
function canonicalName(host: string): string {
  const name = host.toLowerCase()
  if (name.startsWith('[')) return canonicalIpv6Host(name)
  return name.endsWith('.') ? name.slice(0, -1) : name
}

/** Without zeros before it: `08443` is 8443. */
function canonicalPort(host: string, start: number): string {
  let at = start
  while (at < host.length - 1 && host[at] === '0') at++
  return host.slice(at)
}

type Entry<Bound> = readonly [HostPattern, Bound]

/** There may be very many hosts: a step for each, and as many for each port. */
export function* hostTableInSteps<Bound>(entries: readonly Entry<Bound>[]): Steps<HostTable<Bound>> {
  const anyPort: Entry<Bound>[] = []
  const byPort = new Map<string, Entry<Bound>[]>()
  for (const entry of entries) {
    const [{ port }] = entry
    const there = port === '' ? anyPort : byPort.get(port)
    if (there === undefined) byPort.set(port, [entry])
    else there.push(entry)
    yield
  }
  const tables = new Map<string, PortTable<Bound>>()
  for (const [port, own] of byPort) tables.set(port, yield* portTableInSteps([own, anyPort]))
  return new HostTable(yield* portTableInSteps([anyPort]), tables)
}

/** `lists`: what is more specific for the same name stands in the first. */
function* portTableInSteps<Bound>(lists: readonly (readonly Entry<Bound>[])[]): Steps<PortTable<Bound>> {
  const groups = new Map<string, Bound[]>()
  for (const list of lists) {
    for (const [pattern, bound] of list) {
      const key = keyOf(pattern)
      const there = groups.get(key)
      if (there === undefined) groups.set(key, [bound])
      else there.push(bound)
      yield
    }
  }
  const own = (key: string): readonly Bound[] => groups.get(key) ?? []
  const table = new PortTable(own(''))
  for (const list of lists) {
    for (const [pattern] of list) {
      const { name, wildcard } = pattern
      if (name === '') continue
      const wider = suffixesOf(name).flatMap((suffix) => own(`*${suffix}`))
      table.bind(name, wildcard, [...own(keyOf(pattern)), ...wider, ...own('')])
      yield
    }
  }
  return table
}

class PortTable<Bound> {
  readonly #exact = new Map<string, readonly Bound[]>()
  readonly #wildcard = new Map<string, readonly Bound[]>()
  readonly #any: readonly Bound[]

  constructor(any: readonly Bound[]) {
    this.#any = any
  }

  bind(name: string, wildcard: boolean, found: readonly Bound[]): void {
    if (wildcard) this.#wildcard.set(name, found)
    else this.#exact.set(name, found)
  }

  get bindsEveryHostOnly(): boolean {
    return this.#exact.size === 0 && this.#wildcard.size === 0
  }

  find(name: string): readonly Bound[] {
    const exact = this.#exact.get(name)
    if (exact !== undefined) return exact
    if (this.#wildcard.size === 0) return this.#any
    // From the first dot on, so the longest suffix is met first. A label before it is required, thus not from 0.
    for (let dot = name.indexOf('.', 1); dot !== -1; dot = name.indexOf('.', dot + 1)) {
      const found = this.#wildcard.get(name.slice(dot))
      if (found !== undefined) return found
    }
    return this.#any
  }
}

function keyOf({ name, wildcard }: HostPattern): string {
  return wildcard ? `*${name}` : name
}
