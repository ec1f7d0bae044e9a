import type { ConfigUpdate, Maker } from '../config-update.ts'

/** What one middleware uses, by name. */
interface Claims<Handle> {
  /** Of those that it was made of, as far as its own do not take their place. */
  readonly inherited: ReadonlyMap<string, ReadonlySet<Handle>>
  readonly own: Map<string, Set<Handle>>
}

/**
 * Which of the middlewares that share a host uses which state. One that `updateConfig` made goes on with what the one
 * before it had, which it may hold in variables; of a name that it asks for itself, once it is live, with the versions it
 * asked for. What hooks ask for belongs to all of them: nobody knows which one's hook it was.
 */
export class StateClaims<Handle extends { readonly name: string }> {
  readonly #byMaker = new Map<Maker, Claims<Handle>>([[null, { inherited: new Map(), own: new Map() }]])
  readonly #ofHooks = new Set<Handle>()

  /** A middleware is about to be made of another one. */
  begin(update: ConfigUpdate, from: Maker): void {
    const claims = this.#byMaker.get(from)
    const inherited = new Map([...(claims?.inherited ?? []), ...(claims?.own ?? [])])
    this.#byMaker.set(update, { inherited, own: new Map() })
  }

  /** Nothing comes of it for one that has ended. */
  add(maker: Maker, handle: Handle): void {
    const own = this.#byMaker.get(maker)?.own
    const versions = own?.get(handle.name) ?? new Set()
    own?.set(handle.name, versions.add(handle))
  }

  addOfHooks(handle: Handle): void {
    this.#ofHooks.add(handle)
  }

  /** The middleware has stopped, or there will be none. */
  end(maker: Maker): void {
    this.#byMaker.delete(maker)
  }

  clear(): void {
    this.#byMaker.clear()
    this.#ofHooks.clear()
  }

  isUsed(handle: Handle): boolean {
    return this.#ofHooks.has(handle) || this.#isUsed(handle, () => true)
  }

  /** By hooks, or by a middleware that is live, or was: what others use may yet be discarded. */
  isUsedLive(handle: Handle): boolean {
    return this.#ofHooks.has(handle) || this.#isUsed(handle, (maker) => maker === null || maker.wentLive)
  }

  isUsedBy(makers: ReadonlySet<Maker>, handle: Handle): boolean {
    return this.#isUsed(handle, (maker) => makers.has(maker))
  }

  isUsedByHooks(handle: Handle): boolean {
    return this.#ofHooks.has(handle)
  }

  #isUsed(handle: Handle, isMeant: (maker: Maker) => boolean): boolean {
    for (const [maker, { own, inherited }] of this.#byMaker) {
      const [mine, former] = [own.get(handle.name), inherited.get(handle.name)]
      // Until it goes live its own may not be there: one that is in quarantine by then never makes it.
      const isFormerUsed = mine === undefined || maker?.wentLive === false
      if ((mine?.has(handle) || (isFormerUsed && former?.has(handle))) && isMeant(maker)) return true
    }
    return false
  }
}
