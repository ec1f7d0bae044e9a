import { basename, join } from 'node:path'
import { builtInPluginsDirectory } from '../base/own-folders.ts'
import { loadConfigFile, readManifest } from '../config/load.ts'
import { readTextFile } from '../config/text-file.ts'
import type { ServeSource } from '../protocol/master-supervisor.ts'
import type { BuildCache } from './build-cache.ts'
import { discover, type FoundPlugin, type PluginDirectories } from './discover.ts'
import type { Fingerprints } from './store/fingerprint.ts'
import type { DiskPlugin, DiskState } from './store/pins.ts'
import { storableConfig } from './store/stored-plugin.ts'
import type { StoredConfig } from './store/types.ts'

/**
 * What stands on disk, whatever is pinned: the config's text, and every plugin folder with its fingerprint.
 *
 * @param builds what knows of each folder what its files give; default: nobody asks
 */
export async function readDisk(
  source: ServeSource,
  fingerprints: Fingerprints,
  builds?: BuildCache,
): Promise<DiskState> {
  const config = await readConfig(source)
  const directories = { user: await pluginsDirectory(source), builtIn: builtInPluginsDirectory() }
  const plugins = await readPlugins(directories, fingerprints)
  if (builds === undefined) return { config, plugins }
  const known = async (plugin: DiskPlugin): Promise<DiskPlugin> => {
    const contentHash = await builds.contentOf(plugin.folder, plugin.fingerprint)
    return { ...plugin, contentHash }
  }
  return { config, plugins: await Promise.all(plugins.map(known)) }
}

/** The plugin folders that stand there. */
export async function readPlugins(
  directories: PluginDirectories,
  fingerprints: Fingerprints,
): Promise<readonly DiskPlugin[]> {
  const { found } = discover(directories)
  const plugins = await Promise.all(found.map((plugin) => readPlugin(plugin, fingerprints)))
  return plugins.filter((plugin) => plugin !== null)
}

async function readConfig(source: ServeSource): Promise<StoredConfig> {
  if (source.kind === 'target') {
    const { url, port, directory } = source
    return { kind: 'target', url, port: port ?? 0, directory }
  }
  return storableConfig(source.file, await textOf(source.file)).config
}

/** A file that is not there has no text, which is no valid config either; loading it says what is wrong. */
async function textOf(file: string): Promise<string> {
  try {
    return await readTextFile(file)
  } catch {
    return ''
  }
}

/** What the config on disk names, or the default when it is not valid. */
async function pluginsDirectory(source: ServeSource): Promise<string> {
  if (source.kind === 'target') return join(source.directory, 'plugins')
  const loaded = await loadConfigFile(source.file)
  return loaded.ok ? loaded.config.pluginsDirectory : join(source.file, '..', 'plugins')
}

async function readPlugin(
  { folder, origin }: FoundPlugin,
  fingerprints: Fingerprints,
): Promise<DiskPlugin | null> {
  const fingerprint = fingerprints.ofFolder(folder)
  const read = await readManifest(folder)
  if (fingerprint === null) return null
  const name = read.ok ? read.manifest.name : basename(folder)
  const { enabled = true, scope = 'global' } = read.ok ? read.manifest : {}
  return { folder, name, fingerprint, isIdle: !enabled || (origin === 'built-in' && scope === 'route') }
}
