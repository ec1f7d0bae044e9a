import { resolve } from 'node:path'
import { builtInPluginsDirectory } from '../base/own-folders.ts'
import { type LoadOptions, loadConfigFile } from '../config/load.ts'
import { alsoProblems } from '../config/problem.ts'
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
 * each with its place, key, value, what was expected and what was probably meant. No plugin's code is run.
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
  const problems = await problemsOf(result)
  if (result.ok && problems.length === 0) {
    io.stdout.write(`${file} is valid: ${summary(result.config)}.\n`)
    return 0
  }
  const rendered = renderProblems(problems, {
    color: wantsColor(io.stderr, io.env),
    textOf: (name) => texts.get(name) ?? sourceTextOf(name),
    directory: process.cwd(),
  })
  const count = plural(problems.length, 'problem')
  const isOfFile = problems.every(({ code, file }) => file === path && !code.startsWith('PLUGIN_'))
  const where = isOfFile ? file : `${file} and its plugins`
  io.stderr.write(`${rendered}\n${count} in ${where}.\n`)
  return 1
}

/** Of a file with problems also those that routes and plugins have as far as it could be read. */
async function problemsOf(loaded: LoadResult): Promise<readonly ConfigProblem[]> {
  try {
    if (!loaded.ok) return await withFurtherProblems(loaded, findRouteProblems)
    const { config } = loaded
    const directories = { user: config.pluginsDirectory, builtIn: builtInPluginsDirectory() }
    const lifecycle = new PluginLifecycle()
    const prepared = await prepareGeneration({ config, number: 1, directories, lifecycle })
    return alsoProblems(routeProblems(config, findRouteProblems), prepared.ok ? [] : prepared.problems)
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
