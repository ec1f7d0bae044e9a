import { readFile } from 'node:fs/promises'
import { findPackageJSON } from 'node:module'

/** The installed version of an npm package, or null. */
export async function packageVersion(name: string): Promise<string | null> {
  try {
    const file = findPackageJSON(name, import.meta.url)
    if (file === undefined) return null
    const { version } = JSON.parse(await readFile(file, 'utf8')) as { version: string }
    return `${name} ${version}, Node.js ${process.versions.node}`
  } catch {
    return null
  }
}
