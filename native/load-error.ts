/** Why the addon cannot be loaded, in words that say what to do about it. Newer npm versions skip install scripts, so often the first start is what finds out. */

/** What the dynamic loader says where the addon asks for a newer library than the machine has. */
const TOO_OLD = /version `(GLIBC|GLIBCXX|CXXABI)_([\d.]+)' not found/
const LIBRARIES: Record<string, string> = {
  GLIBC: 'the C library (glibc) here is older than',
  GLIBCXX: 'the C++ library (libstdc++) here has no GLIBCXX_',
  CXXABI: 'the C++ library (libstdc++) here has no CXXABI_',
}

/** `file`: the addon. `said`: the error of loading it. `installer`: the script that builds one into a package of npm; undefined in a checkout. */
export function loadError(file: string, said: string, installer?: string): string {
  const [, library, version] = said.match(TOO_OLD) ?? []
  const lines = [`cannot load the native addon ${file}`]
  if (library) lines.push(`${LIBRARIES[library]}${library === 'GLIBC' ? ' ' : ''}${version}, which the addon was built against`)
  if (installer) lines.push(`build one for this machine: node ${installer} (Debian and Ubuntu: apt install cmake g++ make)`)
  else
    lines.push(
      'build it: node native/build.mjs (needs CMake ≥ 3.20 and a C++20 compiler)',
      'built on another machine or for another Node? remove build/ and build again',
    )
  return [lines[0], ...lines.slice(1).map((line) => `  - ${line}`), `  ${said}`].join('\n')
}
