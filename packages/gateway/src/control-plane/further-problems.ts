import { builtInPluginsDirectory } from '../base/own-folders.ts'
import { alsoProblems } from '../config/problem.ts'
import type { ConfigProblem, LoadFailure, ReadablePart } from '../config/types.ts'
import { PluginLifecycle } from './lifecycle.ts'
import { type PrepareOptions, prepareGeneration } from './prepare.ts'
import { type FindRouteProblems, routeProblems, withRouteProblems } from './route-problems.ts'

type PluginOptions = Pick<PrepareOptions, 'pinned' | 'controls' | 'build'> &
  Partial<Pick<PrepareOptions, 'lifecycle'>>

/**
 * The problems of a config that does not hold, and with them those of the routes, of the plugins and of what it sets for
 * them, as far as that could be read: who mends the one shall not meet the other only then. `lifecycle`: gets the plugins, if
 * they could be looked for.
 */
export async function withFurtherProblems(
  { problems, part }: LoadFailure,
  findRouteProblems: FindRouteProblems,
  options: PluginOptions = {},
): Promise<readonly ConfigProblem[]> {
  if (part === undefined) return problems
  const ofRouter = routeProblems(part.config, findRouteProblems, part.unreadRoutes)
  return alsoProblems(withRouteProblems(problems, ofRouter), await pluginProblems(part, options))
}

async function pluginProblems(
  { config, unreadEntries }: ReadablePart,
  options: PluginOptions,
): Promise<readonly ConfigProblem[]> {
  if (unreadEntries === null) return []
  const prepared = await prepareGeneration({
    lifecycle: new PluginLifecycle(),
    ...options,
    config,
    unreadEntries,
    // Nothing comes of it but problems.
    number: 0,
    directories: { user: config.pluginsDirectory, builtIn: builtInPluginsDirectory() },
  })
  return prepared.ok ? [] : prepared.problems
}
