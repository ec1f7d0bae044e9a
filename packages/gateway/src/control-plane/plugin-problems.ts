import { builtInPluginsDirectory } from '../base/own-folders.ts'
import { alsoProblems } from '../config/problem.ts'
import type { ConfigProblem, LoadFailure } from '../config/types.ts'
import { PluginLifecycle } from './lifecycle.ts'
import { type PrepareOptions, prepareGeneration } from './prepare.ts'

/**
 * The problems of a config that does not hold, and with them those of the plugins and of what it sets for them, as far
 * as that could be read: who mends the one shall not meet the other only then.
 */
export async function withPluginProblems(
  { problems, part }: LoadFailure,
  options: Pick<PrepareOptions, 'pinned' | 'controls' | 'build'> = {},
): Promise<readonly ConfigProblem[]> {
  if (part === undefined || part.unreadEntries === null) return problems
  const { config, unreadEntries } = part
  const prepared = await prepareGeneration({
    ...options,
    config,
    unreadEntries,
    // Nothing comes of it but problems.
    number: 0,
    lifecycle: new PluginLifecycle(),
    directories: { user: config.pluginsDirectory, builtIn: builtInPluginsDirectory() },
  })
  return prepared.ok ? problems : alsoProblems(problems, prepared.problems)
}
