import type { Log } from '@cardea/sdk'
import type { NodeClock } from '../base/node-clock.ts'
import { NodeKeeper } from '../control-plane/node-services/node-keeper.ts'
import type { VirtualClock } from '../data-plane/testing/virtual-clock.ts'
import type { LineFile, LineFiles } from '../plugin-host/node-services/line-file.ts'
import { NodeClient } from '../plugin-host/node-services/node-client.ts'

const WORKER = 1

/** `host.kv`, `quota`, `sink` and `once` of a test: the real ones, with one worker, nothing on disk, and its clock. */
export class TestNode {
  readonly client: NodeClient
  readonly #keeper: NodeKeeper
  readonly #files = new Map<string, Uint8Array[]>()
  #isClosed = false

  constructor(virtual: VirtualClock, log: Log) {
    const clock: NodeClock = {
      nowMs: () => virtual.nowMs(),
      after: (delayMs, callback) => virtual.after(delayMs, callback),
      atTurnEnd: (callback) => void queueMicrotask(callback),
    }
    // What crosses a process is copied, and never arrives in the same turn.
    const later = (run: () => void): void => queueMicrotask(() => this.#isClosed || run())
    this.client = new NodeClient({
      workers: 1,
      logs: this.#memory(),
      log,
      clock,
      send: (request) => {
        const copy = structuredClone(request)
        later(() => this.#keeper.request(WORKER, copy))
      },
    })
    this.#keeper = new NodeKeeper({
      directory: null,
      logsDirectory: '',
      workers: 1,
      log,
      clock,
      unixMs: () => virtual.unixMs(),
      send: (_, answer) => {
        const copy = structuredClone(answer)
        later(() => this.client.receive(copy))
      },
    })
    this.#keeper.workerSpawned(WORKER)
  }

  /** The lines of a sink that were written so far. */
  lines(file: string): string[] {
    const text = Buffer.concat(this.#files.get(file) ?? []).toString()
    return text === '' ? [] : text.replace(/\n$/, '').split('\n')
  }

  /** When all instances have been released. */
  async close(): Promise<void> {
    await this.client.close()
    this.#isClosed = true
    await this.#keeper.close()
  }

  #memory(): LineFiles {
    const openSync = (file: string): LineFile => {
      const chunks = this.#files.get(file) ?? []
      this.#files.set(file, chunks)
      const appendSync = (bytes: Uint8Array): number => {
        chunks.push(bytes.slice())
        return bytes.byteLength
      }
      return { appendSync, append: async (bytes) => appendSync(bytes), async close() {} }
    }
    return { openSync, open: async (file) => openSync(file) }
  }
}
