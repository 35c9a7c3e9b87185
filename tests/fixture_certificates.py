"""Certificates as people make them, with the openssl program: a CA, and what it signs."""
import os
import subprocess
import time


def openssl(*args, **kwargs):
    done = subprocess.run(["openssl", *args], capture_output=True, text=True, check=False, **kwargs)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(args)}: {done.stderr}")
    return done.stdout


class Authority:
    """A CA in a folder of its own below `folder`. path is its certificate."""

    def __init__(self, folder, name):
        self.folder = os.path.join(folder, name)
        os.mkdir(self.folder)
        self.path = os.path.join(self.folder, "ca.pem")
        self.key = os.path.join(self.folder, "ca.key")
        self.count = 0
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key,
                "-out", self.path, "-days", "30", "-subj", f"/CN={name}")

    def sign(self, name, alternatives="", days=30, usage="serverAuth,clientAuth", subject=None, in_days=0):
        """
        Make a certificate; (certificate, key) are their files. alternatives: "DNS:a,IP:::1"; days below 0: expired; in_days: it is not
        valid before so many days from now.
        """
        self.count += 1
        base = os.path.join(self.folder, f"{self.count}-{name}")
        lines = [f"extendedKeyUsage={usage}"]
        if alternatives:
            lines.append(f"subjectAltName={alternatives}")
        with open(base + ".ext", "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", base + ".key",
                "-out", base + ".csr", "-subj", subject or f"/CN={name}")
        if in_days:
            self.sign_for_later(base, in_days, days)
            return base + ".pem", base + ".key"
        openssl("x509", "-req", "-in", base + ".csr", "-CA", self.path, "-CAkey", self.key, "-CAcreateserial", "-days",
                str(days), "-extfile", base + ".ext", "-out", base + ".pem")
        return base + ".pem", base + ".key"


    def sign_for_later(self, base, in_days, days):
        """By `openssl ca`, which alone can say when a certificate begins to be valid."""
        with open(base + ".cnf", "w", encoding="ascii") as file:
            file.write(f"[ca]\ndefault_ca=x\n[x]\ndatabase={base}.index\nrand_serial=yes\nnew_certs_dir={self.folder}\ndefault_md=sha256\n"
                       "policy=any\n[any]\ncommonName=supplied\n")
        with open(base + ".index", "w", encoding="ascii"):
            pass
        begin, end = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 86400 * day)) for day in (in_days, in_days + days))
        openssl("ca", "-batch", "-notext", "-config", base + ".cnf", "-in", base + ".csr", "-out", base + ".pem", "-cert", self.path,
                "-keyfile", self.key, "-startdate", begin, "-enddate", end, "-extfile", base + ".ext")


def fingerprint(path):
    """SHA-256 of the certificate, as openssl prints it."""
    return openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", path).strip().split("=")[1]
