import type { Log, Sink, SinkOptions } from '@cardea/sdk'
import type { NodeClock } from '../../base/node-clock.ts'
import { SINK_LIMITS } from '../../config/limits.ts'
import type { InstancePlan } from '../../protocol/generation.ts'
import type { NodeRequest, SinkWish } from '../../protocol/node-services.ts'
import { planInUpdate } from '../config-update.ts'
import { type LineFiles, STDOUT } from './line-file.ts'
import { SinkFile } from './sink-file.ts'
import { checkName, NO_WISH, wishOf } from './sink-options.ts'

export interface SinkClientOptions {
  readonly files: LineFiles
  readonly clock: NodeClock
  readonly log: Log
  send(request: NodeRequest): void
}

interface OpenFile {
  readonly file: SinkFile
  readonly users: Set<SinkShare>
  /** What the supervisor heard last, as JSON. */
  said: string
}

const NOTHING_SAID = '[]'

/** The files that this worker appends to. Instances that name the same file share it. */
export class SinkClient {
  readonly #options: SinkClientOptions
  readonly #files = new Map<string, OpenFile>()
  /** Nobody writes to them any more, but their last lines are not written yet. */
  readonly #closing = new Map<SinkFile, Promise<void>>()
  #isTelling = false

  constructor(options: SinkClientOptions) {
    this.#options = options
  }

  /** What the instances of one host, the first of which is that of `plan`, have of it. */
  share(plan: InstancePlan): SinkShare {
    return new SinkShare(this, plan)
  }

  /** For `SinkShare`. Throws RangeError where that would be too many. */
  hold(name: string, user: SinkShare): SinkFile {
    const open = this.#files.get(name) ?? this.#add(name)
    open.users.add(user)
    return open.file
  }

  /** For `SinkShare`: what was written is still appended. */
  letGo(name: string, user: SinkShare): void {
    const open = this.#files.get(name)
    if (open === undefined || !open.users.delete(user)) return
    this.changed()
    if (open.users.size > 0) return
    this.#files.delete(name)
    if (open.said !== NOTHING_SAID) this.#options.send({ kind: 'sink-rotation', file: name, wishes: [] })
    const closing = open.file.close().finally(() => this.#closing.delete(open.file))
    this.#closing.set(open.file, closing)
  }

  /** For `SinkShare`: what is live wants something else. Told once the turn is over, when all of it has been said. */
  changed(): void {
    if (this.#isTelling) return
    this.#isTelling = true
    this.#options.clock.atTurnEnd(() => {
      this.#isTelling = false
      for (const [name, open] of this.#files) this.#tell(name, open)
    })
  }

  hello(): void {
    for (const [name, open] of this.#files) {
      open.said = NOTHING_SAID
      this.#tell(name, open)
      // Its predecessor may have renamed the file and died before it said so.
      if (name !== STDOUT) open.file.reopen()
    }
  }

  reopen(name: string): void {
    this.#files.get(name)?.file.reopen()
  }

  reopenAll(): void {
    for (const name of this.#files.keys()) if (name !== STDOUT) this.reopen(name)
  }

  async flush(): Promise<void> {
    const open = [...this.#files.values()].map(({ file }) => file.flush())
    await Promise.all([...open, ...this.#closing.values()])
  }

  /** The process ends: what is not written in time is dropped. */
  async end(flushMs: number): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const cancel = this.#options.clock.after(flushMs, resolve)
    await Promise.race([this.flush(), late])
    cancel()
    for (const file of this.#all) file.giveUp()
  }

  /** After `end` or `flushSync`: the system does not answer, and Node cannot end before it does. */
  get isStuck(): boolean {
    return this.#all.some(({ isStuck }) => isStuck)
  }

  flushSync(): void {
    for (const file of this.#all) file.flushSync()
  }

  get #all(): SinkFile[] {
    return [...[...this.#files.values()].map(({ file }) => file), ...this.#closing.keys()]
  }

  #add(name: string): OpenFile {
    if (this.#files.size >= SINK_LIMITS.filesMax) {
      throw new RangeError(`A worker writes to at most ${SINK_LIMITS.filesMax} files of host.sink`)
    }
    const { files, clock, log } = this.#options
    const file = new SinkFile({ name, files, clock, log })
    const open = { file, users: new Set<SinkShare>(), said: NOTHING_SAID }
    this.#files.set(name, open)
    return open
  }

  #tell(name: string, open: OpenFile): void {
    if (name === STDOUT) return
    const wishes = wishesFor(name, open.users)
    const said = JSON.stringify(wishes)
    if (said === open.said) return
    open.said = said
    this.#options.send({ kind: 'sink-rotation', file: name, wishes })
  }
}

/** Of those that are live; where none is, of those that were and have exchanges left. No wish stands there twice. */
function wishesFor(name: string, users: Iterable<SinkShare>): SinkWish[] {
  const by = { live: new Map<string, SinkWish>(), retired: new Map<string, SinkWish>() }
  for (const user of users) {
    const wish = user.wishFor(name)
    if (wish !== null && user.life !== 'staged') by[user.life].set(JSON.stringify(wish), wish)
  }
  const wishes = by.live.size > 0 ? by.live : by.retired
  return [...wishes.values()]
}

type Wishes = Map<string, SinkWish>

/** The sinks of the instances that share a host: the first one, and those that `updateConfig` made of it. */
export class SinkShare {
  readonly #client: SinkClient
  readonly #sinks = new Map<string, Sink>()
  /** What each of those instances wants, by file. */
  readonly #wishes = new WeakMap<InstancePlan, Wishes>()
  /** Those of the one that is live, or of the first. */
  #present: Wishes = new Map()
  /** While the config is updated: those of the instance that it makes. */
  #coming: Wishes | null = null
  #life: 'staged' | 'live' | 'retired' = 'staged'
  #isReleased = false

  constructor(client: SinkClient, plan: InstancePlan) {
    this.#client = client
    this.#wishes.set(plan, this.#present)
  }

  get life(): 'staged' | 'live' | 'retired' {
    return this.#life
  }

  wishFor(name: string): SinkWish | null {
    return this.#present.get(name) ?? null
  }

  /** See `Host.sink`. Throws TypeError or RangeError on what cannot be. */
  open(name: string, options: SinkOptions = {}): Sink {
    checkName(name)
    const wishes = this.#wishesOfUpdate ?? this.#coming ?? this.#present
    const wish = wishOf(options, wishes.get(name) ?? NO_WISH)
    let sink = this.#sinks.get(name)
    if (sink === undefined) {
      sink = this.#sinkOn(this.#client.hold(name, this))
      this.#sinks.set(name, sink)
    }
    wishes.set(name, wish)
    if (wishes === this.#present && this.#life !== 'staged') this.#client.changed()
    return sink
  }

  /** Those of an update that has not gone live, and may never; null: no such code runs. */
  get #wishesOfUpdate(): Wishes | null {
    const plan = planInUpdate()
    return plan === null ? null : (this.#wishes.get(plan) ?? null)
  }

  beginUpdate(plan: InstancePlan): void {
    // What updateConfig does not ask for again stays as it was.
    this.#coming = new Map(this.#present)
    this.#wishes.set(plan, this.#coming)
  }

  endUpdate(): void {
    this.#coming = null
  }

  goLive(plan: InstancePlan): void {
    this.#present = this.#wishes.get(plan) ?? this.#present
    this.#life = 'live'
    this.#client.changed()
  }

  retire(): void {
    if (this.#life === 'live') this.#life = 'retired'
    this.#client.changed()
  }

  release(): void {
    this.#isReleased = true
    for (const name of this.#sinks.keys()) this.#client.letGo(name, this)
    this.#sinks.clear()
  }

  #sinkOn(file: SinkFile): Sink {
    const write = (line: string): boolean => !this.#isReleased && file.write(line)
    return {
      write(line) {
        if (typeof line !== 'string') throw new TypeError(`A line is a string, not ${typeof line}`)
        return write(line)
      },
      get dropped() {
        return file.dropped
      },
    }
  }
}
