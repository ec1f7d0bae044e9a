import { type ErrorKind, gateway } from './error-kinds.ts'

/** What can go wrong with changes and with what is kept of them in `.cardea/`. */
export const CHANGE_ERRORS = {
  STORE_LOCKED: gateway(
    0,
    'never',
    'Another gateway uses this folder',
    'A running gateway holds `.cardea/`: two of them would write over one another.',
    'Stop the other one (the message names its process), or start this one in another folder.',
  ),
  STORE_DAMAGED: gateway(
    0,
    'never',
    'A stored file is damaged',
    'A file in `.cardea/` is missing, or its content is not what its hash says: a disk error, or somebody changed it.',
    'Roll back to another generation. Saving the files of the plugin or the config stores them anew.',
  ),
  STORE_WRITE_FAILED: gateway(
    0,
    'always',
    'A generation could not be stored',
    'Writing to `.cardea/` failed: the disk is full, read-only, or the folder belongs to another user. A change goes live only once it is on disk, so the generation before serves on.',
    'Make room, or mend the permissions; what was saved is tried again by itself, after five minutes at the latest. Give a command that failed again. A config on a read-only disk can be linked to from a folder that may be written: `.cardea/` is beside the link.',
  ),
  GENERATION_UNKNOWN: gateway(
    0,
    'never',
    'That generation is not kept',
    'There never was one of that number, or it is older than what `changes.generations_max` and `changes.plugin_versions_max` keep. Of a change: its config was to run instead of a rejected file, and somebody deleted it.',
    'The message names the nearest that can be brought back, `cardea history` lists all; `cardea release config` lets the file run again.',
  ),
  ROLLBACK_EXHAUSTED: gateway(
    0,
    'never',
    'Nothing is left to roll back to',
    '`cardea rollback` without a number passes over generations that are the same as what serves, that were gone back from, that run code which failed, or that need a plugin version that is not kept any more, and there is no other one. `cardea plugin rollback NAME` without a version passes over those that failed, that are not kept any more, that are held back, and that were gone back from.',
    'Mend the files and save them. `cardea history` lists the generations, and `cardea rollback NUMBER` brings one back all the same; so do `cardea plugin versions NAME` and `cardea plugin rollback NAME VERSION` with the versions of a plugin.',
  ),
  PLUGIN_VERSION_UNKNOWN: gateway(
    0,
    'never',
    'That plugin version is not kept',
    'No stored version of the plugin has that number or hash, or several have.',
    '`cardea plugin versions NAME` lists them; name one by the beginning of its hash.',
  ),
  PLUGIN_VERSIONS_FAILED: gateway(
    0,
    'never',
    'Every other version of the plugin has failed',
    '`cardea plugin rollback NAME` passes over versions that were taken back on their probation or were quarantined, and no other one is kept.',
    'Mend the plugin and save it, or switch it off by `cardea plugin disable NAME`. `cardea plugin rollback NAME VERSION` brings one back all the same.',
  ),
} as const satisfies Record<string, ErrorKind>
