import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { bundle } from '../packages/gateway/build/bundle.js'

/**
 * `npm run pack -- [FOLDER]`: writes the package `cardea` as it is published, a tarball, into FOLDER (default: here).
 *
 * The built-in plugins stand at the root of the repository and inside of the package, where an installed gateway looks
 * for them (base/own-folders.ts), and `dist` is made of the sources. They are put together in a folder of its own: a copy in the working tree would be seen
 * by whoever reads it meanwhile, and npm's own hooks do not run under `ignore-scripts`.
 */

const ROOT = join(import.meta.dirname, '..')
const GATEWAY = join(ROOT, 'packages', 'gateway')
/** What npm puts into every package that has it. */
const ALWAYS = ['README.md', 'LICENSE']
/** Of the manifest's files, those that do not stand in the gateway's folder. */
const MADE = ['plugins', 'dist']

/** Returns the tarball's path. */
export async function packGateway(destination: string): Promise<string> {
  const staging = await mkdtemp(join(tmpdir(), 'cardea-pack-'))
  try {
    const manifest = JSON.parse(await readFile(join(GATEWAY, 'package.json'), 'utf8')) as { files: string[] }
    const own = ['package.json', ...manifest.files.filter((name) => !MADE.includes(name))]
    for (const name of own) await copy(join(GATEWAY, name), join(staging, name))
    for (const name of ['plugins', ...ALWAYS]) await copy(join(ROOT, name), join(staging, name))
    bundle(join(staging, 'dist'))
    await mkdir(destination, { recursive: true })
    const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', resolve(destination)]
    const { stdout } = await promisify(execFile)('npm', args, { cwd: staging })
    const [packed] = JSON.parse(stdout) as { filename: string }[]
    if (packed === undefined) throw new Error(`npm pack says nothing of a tarball: ${stdout}`)
    return join(resolve(destination), packed.filename)
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}

function copy(from: string, to: string): Promise<void> {
  return cp(from, to, { recursive: true, filter: isShipped })
}

/** Neither tests nor what only they use. */
function isShipped(path: string): boolean {
  const name = basename(path)
  return !/\.test\.ts$|^test-.*\.ts$/.test(name) && name !== 'node_modules' && name !== '.cardea'
}

if (import.meta.main) process.stdout.write(`${await packGateway(process.argv[2] ?? '.')}\n`)
