import { dirname, join } from 'node:path'
import { builtInPluginsDirectory } from '../base/own-folders.ts'
import { loadConfigFile } from '../config/load.ts'
import { readTextFile } from '../config/text-file.ts'
import type { LoadedConfig } from '../config/types.ts'
import type { ServeSource } from '../protocol/master-supervisor.ts'
import type { Watch } from './watch.ts'

/**
 * Which files a gateway watches: all that the generation which serves is made of, and while a change is pending what that
 * one is made of as well. It may be mended where nothing is that serves: in a file that was missing, or in another
 * plugins folder.
 */
export class WatchedFiles {
  readonly #watch: Watch
  readonly #source: ServeSource
  #config: LoadedConfig | null = null
  #pending: readonly string[] = []
  #looks = 0

  constructor(watch: Watch, source: ServeSource) {
    this.#watch = watch
    this.#source = source
  }

  /** `config`: of what serves; null: nothing does. See `Watch.setPaths`. */
  serve(config: LoadedConfig | null): Promise<void> {
    this.#config = config
    return this.#set()
  }

  /** Whether a change is pending, by what stands on disk now. */
  async pend(isPending: boolean): Promise<void> {
    if (!isPending && this.#pending.length === 0) return
    const look = ++this.#looks
    const paths = isPending ? await pathsOnDisk(this.#source) : []
    if (look !== this.#looks) return
    this.#pending = paths
    await this.#set()
  }

  #set(): Promise<void> {
    return this.#watch.setPaths([...pathsOf(this.#source, this.#config), ...this.#pending])
  }
}

function pathsOf(source: ServeSource, config: LoadedConfig | null): readonly string[] {
  if (source.kind === 'target') return [join(source.directory, 'plugins'), builtInPluginsDirectory()]
  const user = config?.pluginsDirectory ?? join(dirname(source.file), 'plugins')
  return [source.file, ...(config?.includedFiles ?? []), user, builtInPluginsDirectory()]
}

/** As far as the config can be read: what it includes is known although some of it is not there. */
async function pathsOnDisk(source: ServeSource): Promise<readonly string[]> {
  if (source.kind === 'target') return []
  const included: string[] = []
  const loaded = await loadConfigFile(source.file, {
    readFile(path) {
      if (path !== source.file) included.push(path)
      return readTextFile(path)
    },
  })
  return loaded.ok ? pathsOf(source, loaded.config) : included
}
