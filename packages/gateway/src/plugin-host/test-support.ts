import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import type { Log } from '@cardea/sdk'
import * as esbuild from 'esbuild'
import type { BundlePlan, GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import type { StagedInstances } from '../protocol/instance.ts'

/** For the tests of this folder only. */

export const FOLDER = '/srv/plugins/sample'

/** A bundle of one TypeScript text, compiled as far as the plugin host is concerned like the control plane does it. */
export function bundleOf(source: string): BundlePlan {
  const compiled = esbuild.transformSync(source, {
    loader: 'ts',
    format: 'cjs',
    target: 'node24',
    sourcefile: 'plugin.ts',
    sourcemap: 'external',
    sourcesContent: true,
    supported: { 'dynamic-import': false },
    define: { 'import.meta.url': '__importMetaUrl' },
  })
  return {
    codeHash: createHash('sha256').update(compiled.code).digest('hex'),
    code: compiled.code,
    sourceMap: compiled.map,
    entryFile: resolve(FOLDER, 'plugin.ts'),
  }
}

/** How many instances a generation has in common with those before, and the names of its others. */
export function carriedAndStarted(
  { instances }: StagedInstances,
  ...before: readonly StagedInstances[]
): [carried: number, started: string[]] {
  const old = new Set(before.flatMap((staged) => [...staged.instances.values()]))
  const all = [...new Set(instances.values())]
  const started = all.filter((instance) => !old.has(instance)).map(({ plan }) => plan.name)
  return [all.length - started.length, started]
}

/** A generation without routes. */
export function generationPlan(
  bundles: readonly BundlePlan[],
  instances: readonly InstancePlan[],
): GenerationPlan {
  const settings = {} as GenerationPlan['settings']
  return { number: 7, bundles, instances, upstreams: [], routes: [], settings }
}

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** A log that keeps its lines, and tells the next waiter of each. */
export function recordingLog(): { log: Log; lines: LogLine[]; nextLine(): Promise<LogLine> } {
  const lines: LogLine[] = []
  let waiters: ((line: LogLine) => void)[] = []
  const write =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
      const line = { level, message, fields }
      lines.push(line)
      for (const waiter of waiters) waiter(line)
      waiters = []
    }
  const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  return { log, lines, nextLine: () => new Promise((resolve) => waiters.push(resolve)) }
}
