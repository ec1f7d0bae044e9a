import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { waitFor } from '../support/wait-for.ts'

/** A step of a change that a process is at: it starts the plugin, or swaps to it. */
export type Step = 'start' | 'swap'

/**
 * A security plugin that stops at each step of its own change for as long as a file says so, and says by a file that it
 * is there: so a test can kill any process at any moment of a change.
 */
export class SteppedPlugin {
  readonly #folder: string

  /** `folder`: outside of what the gateway watches. */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** The plugin's folder of that version, which waits in these processes (`trial`, `worker-1`) at the step. */
  async files(version: number, step: Step = 'start', waiting: readonly string[] = []): Promise<Files> {
    const folder = join(this.#folder, `${version}`)
    await mkdir(folder, { recursive: true })
    for (const name of waiting) await writeFile(join(folder, `hold ${step} ${name}`), '')
    return {
      'plugin.json': `${JSON.stringify({ name: 'stepped', version: `1.0.${version}`, category: 'security' })}\n`,
      'plugin.ts': sourceOf(version, folder),
    }
  }

  /** Resolves with the names of the processes that are at the step once there are so many, in the order of arrival. */
  async reached(version: number, step: Step, count: number): Promise<string[]> {
    const folder = join(this.#folder, `${version}`)
    const prefix = `reached ${step} `
    return waitFor(async () => {
      const found = (await readdir(folder)).filter((name) => name.startsWith(prefix))
      const waiting = found.map((name) => name.slice(prefix.length))
      const held = waiting.filter((name) => existsSync(join(folder, `hold ${step} ${name}`)))
      return held.length >= count && held
    }, `${count} processes to be at ${step} of version ${version}`)
  }

  /** Those that have come to the step so far count no more: `reached` waits for others. */
  async forget(version: number, step: Step): Promise<void> {
    const folder = join(this.#folder, `${version}`)
    const found = (await readdir(folder)).filter((name) => name.startsWith(`reached ${step} `))
    for (const file of found) await rm(join(folder, file))
  }

  /** A process of that name that comes to the step from now on waits there. */
  async hold(version: number, step: Step, name: string): Promise<void> {
    await writeFile(join(this.#folder, `${version}`, `hold ${step} ${name}`), '')
  }

  /** Lets that process go on, or all. */
  async release(version: number, step: Step, name: string | null = null): Promise<void> {
    const folder = join(this.#folder, `${version}`)
    const prefix = name === null ? `hold ${step} ` : `hold ${step} ${name}`
    for (const file of await readdir(folder)) {
      if (file.startsWith(prefix)) await rm(join(folder, file), { force: true })
    }
  }
}

export type Files = Readonly<Record<'plugin.json' | 'plugin.ts', string>>

function sourceOf(version: number, folder: string): string {
  return `import type { Plugin } from '@cardea/sdk'
import { existsSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const name = process.title.replace('cardea: ', '').replace(' ', '-')
const worker = /\\d+$/.exec(name)?.[0] ?? ''

function arrive(step: string): string {
  writeFileSync(\`${folder}/reached \${step} \${name}\`, '')
  return \`${folder}/hold \${step} \${name}\`
}

export const PluginMain: Plugin = async (config, host) => {
  // Migrates in the turn in which the worker swaps.
  host.state('step', ${version}, (previous) => {
    if (name === 'trial' || previous === null) return {}
    const hold = arrive('swap')
    while (existsSync(hold)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    return {}
  })
  const hold = arrive('start')
  while (existsSync(hold)) await sleep(5)
  return {
    name: 'stepped',
    handle(ctx) {
      ctx.response.headers.set('x-worker', worker)
      ctx.response.headers.set('x-version', '${version}')
      return true
    },
  }
}
`
}
