import { resolve } from 'node:path'
import { builtInPluginsDirectory } from '../base/own-folders.ts'
import { type LoadOptions, loadConfigFile } from '../config/load.ts'
import { alsoProblems, countOf } from '../config/problem.ts'
import { renderProblems, wantsColor } from '../config/render-problems.ts'
import { sourceTextOf } from '../config/source-text.ts'
import { readTextFile, readTextFileOrPipe } from '../config/text-file.ts'
import type { ConfigProblem, LoadedConfig, LoadResult } from '../config/types.ts'
import { stopBuildService } from '../control-plane/build.ts'
import { withFurtherProblems } from '../control-plane/further-problems.ts'
import { PluginLifecycle } from '../control-plane/lifecycle.ts'
import { prepareGeneration } from '../control-plane/prepare.ts'
import { routeProblems } from '../control-plane/route-problems.ts'
import { findRouteProblems } from '../data-plane/routing/conflicts.ts'
import type { ChangeProblem } from '../protocol/control.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import { problemBlock } from './change-text.ts'
import { COLORS, PLAIN } from './text.ts'
import { trialProblems } from './trial-check.ts'

export interface ConfigCheckIo {
  readonly stdout: Writer
  readonly stderr: Writer
  readonly env: Readonly<Record<string, string | undefined>>
}

interface Writer {
  readonly isTTY?: boolean
  write(text: string): unknown
}

/**
 * `cardea config check FILE`: prints every problem at once, of the file, of the plugins and of what it sets for them,
 * each with its place, key, value, what was expected and what was probably meant. Where there are none, the plugins are started
 * in a trial process, as before a change: only their code knows all that it refuses.
 *
 * @returns the exit code: 0 when the file is valid, else 1.
 */
export async function configCheck(
  file: string,
  io: ConfigCheckIo,
  options: Pick<LoadOptions, 'readFile'> = {},
): Promise<number> {
  const path = resolve(file)
  const texts = new Map<string, string>()
  const readFile =
    options.readFile ?? ((name: string) => (name === path ? readTextFileOrPipe(name) : readTextFile(name)))
  const result = await loadConfigFile(path, {
    env: io.env,
    readFile: async (name) => {
      const text = await readFile(name)
      // Only the config itself: what `${file:…}` names is a secret, and no problem points into it.
      if (name === path) texts.set(name, text.replace(/^\uFEFF/, ''))
      return text
    },
  })
  const { problems, plan } = await problemsOf(result)
  if (result.ok && problems.length === 0) {
    const refusals = plan === null ? [] : await trialProblems(plan)
    if (refusals.length > 0) return tellRefusals(file, refusals, io)
    io.stdout.write(`${file} is valid: ${summary(result.config)}.\n`)
    return 0
  }
  const rendered = renderProblems(problems, {
    color: wantsColor(io.stderr, io.env),
    textOf: (name) => texts.get(name) ?? sourceTextOf(name),
    directory: process.cwd(),
  })
  const count = plural(countOf(problems), 'problem')
  const isOfFile = problems.every(({ code, file }) => file === path && !code.startsWith('PLUGIN_'))
  const where = isOfFile ? file : `${file} and its plugins`
  io.stderr.write(`${rendered}\n${count} in ${where}.\n`)
  return 1
}

/** As a change would say it. */
function tellRefusals(file: string, refusals: readonly ChangeProblem[], io: ConfigCheckIo): number {
  const paint = wantsColor(io.stderr, io.env) ? COLORS : PLAIN
  const texts = refusals.map((refusal) =>
    problemBlock(refusal, { paint, directory: process.cwd() })
      .map((line) => `${line.replace(/^ {2}/, '')}\n`)
      .join(''),
  )
  io.stderr.write(`${texts.join('\n')}\n${plural(refusals.length, 'problem')} in ${file} and its plugins.\n`)
  return 1
}

interface Checked {
  readonly problems: readonly ConfigProblem[]
  /** Null where there is none because of the problems. */
  readonly plan: GenerationPlan | null
}

/** Of a file with problems also those that routes and plugins have as far as it could be read. */
async function problemsOf(loaded: LoadResult): Promise<Checked> {
  try {
    if (!loaded.ok) return { problems: await withFurtherProblems(loaded, findRouteProblems), plan: null }
    const { config } = loaded
    const directories = { user: config.pluginsDirectory, builtIn: builtInPluginsDirectory() }
    const lifecycle = new PluginLifecycle()
    const prepared = await prepareGeneration({ config, number: 1, directories, lifecycle })
    const ofRoutes = routeProblems(config, findRouteProblems)
    if (prepared.ok) return { problems: ofRoutes, plan: prepared.plan }
    return { problems: alsoProblems(ofRoutes, prepared.problems), plan: null }
  } finally {
    await stopBuildService()
  }
}

function summary({ value }: LoadedConfig): string {
  return [
    plural(value.listen.length, 'listener'),
    plural(value.routes.length, 'route'),
    plural(Object.keys(value.upstreams).length, 'upstream'),
  ].join(', ')
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
