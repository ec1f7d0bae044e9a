import { join } from 'node:path'
import { sha256 } from './blobs.ts'
import { type StorablePlugin, storableConfig, storablePlugin } from './stored-plugin.ts'
import type { Blob, StoredGeneration } from './types.ts'

/** For the tests of this folder only. */

/** A plugin as if its folder had just been built; other `code`, other content. */
export function pluginFor(
  name: string,
  version = '1.0.0',
  code = `/* ${name} ${version} */`,
): StorablePlugin {
  const folder = join('/srv/plugins', name)
  return storablePlugin({
    name,
    version,
    origin: 'user',
    folder,
    manifestText: JSON.stringify({ name, version }),
    bundle: { codeHash: sha256(code), code, sourceMap: '{}', entryFile: join(folder, 'plugin.ts') },
    fingerprint: sha256(`files ${name} ${version} ${code}`),
  })
}

export interface Decidable {
  readonly record: StoredGeneration
  readonly blobs: readonly Blob[]
}

export function generationOf(
  number: number,
  plugins: readonly StorablePlugin[] = [],
  rest: Partial<StoredGeneration> & { readonly text?: string } = {},
): Decidable {
  const { text = 'routes: []\n', ...changes } = rest
  const { config, blobs } = storableConfig('/srv/cardea.yaml', text)
  const record: StoredGeneration = {
    number,
    at: 1_700_000_000_000 + number,
    cause: { kind: 'start' },
    who: 'ada',
    changes: [`generation ${number}`],
    config,
    plugins: plugins.map(({ plugin }) => plugin),
    controls: { disabled: [], incarnations: {}, quarantined: [] },
    pins: [],
    ...changes,
  }
  return { record, blobs: [...blobs, ...plugins.flatMap((plugin) => plugin.blobs)] }
}
