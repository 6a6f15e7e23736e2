# Folders in folders, as many as a path could never name. Landlock looks from a folder up to the first that it knows for each
# that is made, so long chains are put together from short ones.
LEVELS, LINK = 10_000, 1_000
home = os.open(".", os.O_RDONLY)
bottom = home
for _ in range(LEVELS // LINK):
    os.fchdir(home)
    os.mkdir("chain")
    os.chdir("chain")
    for _ in range(LINK - 1):
        os.mkdir("d")
        os.chdir("d")
    last = os.open(".", os.O_RDONLY)
    os.rename("chain", "d", src_dir_fd=home, dst_dir_fd=bottom)
    bottom = last
# Whoever removes them has no right to look into the last.
tried(lambda: os.chmod(".", 0))
